"""Input from S3, and results that become visible there whole or not at all, whatever interrupts their upload."""

import base64
import http.client
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_rows
from pyarrow import fs as arrow
from real.conftest import Batchrun
from real.environments import ROOT, Environment
from real.servers import serving

from batchrun.prompts.files import find_files
from batchrun.prompts.reader import RowReader
from batchrun.storage import objects

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

PART_BYTES = 10 << 20
"""What pyarrow uploads at once, at least."""

Parts = Callable[[int], int | None]


class Door:
    """Stands before the store: hands everything on, and does with the parts of uploads what a test wants."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.removeprefix("http://")
        self._lock = threading.Lock()
        self.parts = 0
        """How many were sent."""
        self.bytes_given = 0
        """How much came of it."""
        self.on_part: Parts = lambda number: None
        """From a part's number, from 1, to the status that answers it; None hands it on. It may wait, or do things."""
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return lambda: door.hand_on(self)
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hand_on(self, visit: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = _body_of(visit)
        status = None
        if visit.command == "PUT" and "partNumber=" in visit.path:
            with self._lock:
                self.parts += 1
                number = self.parts
            status = self.on_part(number)
        answer = None if status else self._asked(visit, body)
        headers = {} if answer is None else dict(answer.getheaders())
        content = b"" if answer is None else answer.read()
        visit.send_response(status or answer.status)  # type: ignore[union-attr]  # one of the two there is
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                visit.send_header(name, value)
        length = headers.get("Content-Length", str(len(content)))
        visit.send_header("Content-Length", length if visit.command == "HEAD" else str(len(content)))
        visit.end_headers()
        visit.wfile.write(content)
        self.bytes_given += len(content)

    def _asked(self, visit: BaseHTTPRequestHandler, body: bytes) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._upstream)
        headers = {name: value for name, value in visit.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(visit.command, visit.path, body, headers)
        return connection.getresponse()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _body_of(visit: BaseHTTPRequestHandler) -> bytes:
    if visit.headers.get("Transfer-Encoding") != "chunked":
        return visit.rfile.read(int(visit.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(visit.rfile.readline(), 16):
        chunks.append(visit.rfile.read(size))
        visit.rfile.readline()
    visit.rfile.readline()
    return b"".join(chunks)


@pytest.fixture(scope="module")
def moto(installed: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks S3."""
    program = installed("moto").command("moto_server")
    folder = tmp_path_factory.mktemp("moto")
    with serving(lambda port: [program, "-H", "127.0.0.1", "-p", str(port)], folder=folder) as url:
        yield url


@pytest.fixture
def door(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The way to an empty bucket `bkt`, which the environment names as S3."""
    door = Door(moto)
    variables = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
    for name, value in (variables | {"AWS_ENDPOINT_URL": door.url, "AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    objects._system.cache_clear()
    arrow.FileSystem.from_uri("s3://bkt/?allow_bucket_creation=true")[0].create_dir("bkt")
    store().delete_dir_contents("bkt", missing_dir_ok=True)
    yield door
    objects._system.cache_clear()
    door.close()


def store() -> Any:
    """The store as it is now, with nothing that was seen before."""
    return arrow.FileSystem.from_uri("s3://bkt/")[0]


def visible() -> dict[str, int]:
    """Everything in the bucket: path → size."""
    found = store().get_file_info(arrow.FileSelector("bkt", recursive=True))
    return {info.path.removeprefix("bkt/"): info.size for info in found if info.type == arrow.FileType.File}


def put_into_bucket(name: str, content: bytes) -> None:
    with store().open_output_stream(f"bkt/{name}", compression=None) as stream:
        stream.write(content)


@pytest.fixture
def finished(batchrun: Batchrun) -> Path:
    """A run whose results are several parts long."""
    rows = [{"id": str(row), "ballast": base64.b64encode(os.urandom(1 << 20)).decode()} for row in range(40)]
    write_rows("large.jsonl", *rows)
    said = batchrun("run", "large.jsonl", "-t", "Say {{ id }}", "-m", MODEL, "-o", "run", "--simulate")
    assert said.code == 0, said.stderr
    assert Path("run/results.parquet").stat().st_size > 3 * PART_BYTES
    return Path("run")


def test_a_run_from_a_bucket_to_a_bucket_is_the_run_from_a_file(door: Door, batchrun: Batchrun) -> None:
    """Every row is answered, the uploaded files are those of the run directory, and run again it sends nothing."""
    rows = [{"id": f"r{row}", "prompt": f"Say {row}"} for row in range(300)]
    content = Path(write_rows("a.jsonl", *rows)).read_bytes()
    pq.write_table(pa.Table.from_pylist(rows), "b.parquet", row_group_size=50)
    put_into_bucket("in/a.jsonl", content)
    put_into_bucket("in/deep/b.parquet", Path("b.parquet").read_bytes())
    put_into_bucket("in/_tmp/c.jsonl", content)
    run = ("run", "s3://bkt/in/**", "-m", MODEL, "-o", "out", "--simulate", "--upload", "s3://bkt/out/x", "--json")
    first = batchrun(*run)
    assert (first.code, first.json["completed"]) == (0, 600), first.stderr
    assert [row["row"] for row in results("out")] == list(range(600))
    names = {"results.parquet", "usage.parquet", "run.json"}
    assert {name for name in visible() if name.startswith("out/")} == {f"out/x/{name}" for name in names}
    for name in names:
        assert store().open_input_file(f"bkt/out/x/{name}").read() == Path("out", name).read_bytes()
    again = batchrun(*run)
    assert (again.code, again.json["attempts"]) == (0, first.json["attempts"]), again.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_dies_while_it_uploads_leaves_what_was_there(
    door: Door, finished: Path, batchrun: Batchrun, number: signal.Signals
) -> None:
    """No half of a file is visible: neither of one that is new, nor instead of one that was there."""
    put_into_bucket("out/results.parquet", b"the old one")
    is_held, release = threading.Event(), threading.Event()

    def hold(part: int) -> None:
        if part > 1:
            is_held.set()
            release.wait(60)

    door.on_part = hold
    command = [sys.executable, "-m", "batchrun", "export", str(finished), "--upload", "s3://bkt/out"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    try:
        assert is_held.wait(60)
        process.send_signal(number)
        if number != signal.SIGKILL:
            release.set()  # it may tidy up: with a store that answers
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
        release.set()
    assert visible() == {"out/results.parquet": len(b"the old one")}
    door.on_part = lambda part: None
    assert batchrun("export", finished, "--upload", "s3://bkt/out").code == 0
    assert visible()["out/results.parquet"] == (finished / "results.parquet").stat().st_size


def test_an_upload_that_fails_costs_the_upload_alone(door: Door, finished: Path, batchrun: Batchrun) -> None:
    """A store that refuses the second part keeps nothing, says why, and the run's own files are safe."""
    door.on_part = lambda part: 403 if part == 2 else None
    run = ("run", "large.jsonl", "-t", "Say {{ id }}", "-m", MODEL, "-o", finished, "--simulate")
    said = batchrun(*run, "--upload", "s3://bkt/out", "--json")
    assert (said.code, said.json["exit_code"], said.json["completed"]) == (5, 5, 40)
    assert "could not be uploaded to s3://bkt/out" in said.json["message"]
    assert f"batchrun export {finished}" in said.json["message"]
    assert visible() == {}
    assert len(results(finished)) == 40
    assert batchrun("export", finished).code == 0, "the job says where to"
    assert set(visible()) == {f"out/{name}" for name in ("results.parquet", "usage.parquet", "run.json")}


def test_a_stream_that_was_dropped_is_never_completed(door: Door) -> None:
    """Pyarrow's streams complete their upload when the garbage collector closes them; ours do not."""
    source = Path("results.parquet")
    source.write_bytes(os.urandom(4 * PART_BYTES))
    door.on_part = lambda part: os.truncate(source, 2 * PART_BYTES)
    in_a_process(f"""
        import gc
        from pathlib import Path
        from batchrun.storage import objects
        objects._PIECE_BYTES = {PART_BYTES}
        try:
            objects.upload([Path("{source}")], "s3://bkt/out")
        except OSError as problem:
            assert "became shorter" in str(problem), problem
        else:
            raise AssertionError
        gc.collect()
    """)
    assert door.parts
    assert visible() == {}
    in_a_process("""
        from pyarrow import fs
        fs.FileSystem.from_uri("s3://bkt/")[0].open_output_stream("bkt/theirs").write(b"half")
    """)
    assert visible() == {"theirs": 4}, "pyarrow has learned to give up: _keep_open may go"


def in_a_process(script: str) -> None:
    """Run a script in a process of its own: here, pyarrow completes uploads while nothing else may run."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=True, timeout=60)


def test_a_look_at_a_large_object_reads_little_of_it(door: Door) -> None:
    """`--limit 5` reads the beginning; of Parquet the end, and the beginning of the columns that are needed."""
    rows = [{"prompt": os.urandom(500).hex(), "ballast": os.urandom(500).hex()} for _ in range(10_000)]
    pq.write_table(pa.Table.from_pylist(rows), "large.parquet", row_group_size=5000)
    for name in (write_rows("large.jsonl", *rows), "large.parquet"):
        put_into_bucket(name, Path(name).read_bytes())
        door.bytes_given = 0
        reader = RowReader(find_files([f"s3://bkt/{name}"]), columns=("prompt",), limit=5)
        assert [row.columns["prompt"] for batch in reader for row in batch] == [row["prompt"] for row in rows[:5]]
        assert door.bytes_given < Path(name).stat().st_size / 4
