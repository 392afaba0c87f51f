"""Input from object stores, and results that appear there complete or not at all, whatever interrupts the upload.

Each test runs with a stand-in for the store of each cloud.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_rows
from real.clouds import BUCKET, KINDS, Cloud, running
from real.conftest import Batchrun
from real.environments import ROOT, Environment

from batchrun.prompts.input.files import find_files
from batchrun.storage import objects

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

PART_BYTES = 10 << 20
"""Smallest part that pyarrow uploads."""

RUN = ("run", "large.jsonl", "-t", "Say {{ id }}", "-m", MODEL, "--simulate")

NAMES = ("results.parquet", "usage.parquet", "run.json")


@pytest.fixture(scope="module", params=KINDS)
def address(
    request: pytest.FixtureRequest,
    installed: Callable[[str], Environment],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str]]:
    """A kind of store and a running one."""
    kind = KINDS[request.param]
    with running(kind, installed(kind.environment), tmp_path_factory.mktemp(request.param)) as address:
        yield request.param, address


@pytest.fixture
def cloud(address: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A store with an empty bucket, set in the environment, without variables of the user."""
    cloud = Cloud(KINDS[address[0]], address[1])
    cloud.lead_to(monkeypatch)
    objects._system.cache_clear()
    yield cloud
    objects._system.cache_clear()
    cloud.door.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an input and a run whose results have several parts."""
    folder = tmp_path_factory.mktemp("finished")
    rows = [{"id": str(row), "ballast": base64.b64encode(os.urandom(1 << 20)).decode()} for row in range(40)]
    write_rows(str(folder / "large.jsonl"), *rows)
    command = [*in_parts(*RUN), "-o", "run"]
    subprocess.run(command, cwd=folder, env=os.environ | {"HOME": str(folder)}, check=True, timeout=120)
    assert (folder / "run/results.parquet").stat().st_size > 3 * PART_BYTES
    return folder


@pytest.fixture
def finished(original: Path) -> Path:
    """That run, in the folder of this test."""
    shutil.copytree(original, ".", dirs_exist_ok=True)
    return Path("run")


def test_a_run_from_a_bucket_to_a_bucket_is_the_run_from_a_file(cloud: Cloud, batchrun: Batchrun) -> None:
    """Every row is answered, the uploaded files are those of the run directory, and a second run sends nothing."""
    rows = [{"id": f"r{row}", "prompt": f"Say {row}"} for row in range(300)]
    content = Path(write_rows("a.jsonl", *rows)).read_bytes()
    pq.write_table(pa.Table.from_pylist(rows), "b.parquet", row_group_size=50)
    cloud.write("in/a.jsonl", content)
    cloud.write("in/deep/b.parquet", Path("b.parquet").read_bytes())
    cloud.write("in/_tmp/c.jsonl", content)
    run = ("run", cloud.url("in/**"), "-m", MODEL, "-o", "out", "--simulate", "--upload", cloud.url("out/x"), "--json")
    first = batchrun(*run)
    assert (first.code, first.json["completed"]) == (0, 600), first.stderr
    assert [row["row"] for row in results("out")] == list(range(600))
    assert {name for name in cloud.everything() if name.startswith("out/")} == {f"out/x/{name}" for name in NAMES}
    for name in NAMES:
        assert cloud.read(f"out/x/{name}") == Path("out", name).read_bytes()
    again = batchrun(*run)
    assert (again.code, again.json["attempts"]) == (0, first.json["attempts"]), again.stderr


def test_a_bucket_is_listed_like_a_folder(cloud: Cloud) -> None:
    """By file, folder and glob, with any names of files."""
    odd = "in/deep/ü b+c%20d.jsonl"
    for path in ("in/a.jsonl", odd, "in/.hidden.jsonl", "in/readme.md", "in2/e.jsonl"):
        cloud.write(path, b'{"prompt": "a"}\n')

    def found(path: str) -> list[str]:
        return [file.path for file in find_files([cloud.url(path)])]

    assert found("in/a.jsonl") == found("in/*.jsonl") == [cloud.url("in/a.jsonl")]
    assert found("in") == found("in/") == found("in/**") == [cloud.url("in/a.jsonl"), cloud.url(odd)]
    assert found("") == [cloud.url(path) for path in ("in/a.jsonl", odd, "in2/e.jsonl")]
    assert found("in/**/*+*") == [cloud.url(odd)]
    assert prompts(cloud.url(odd)) == ["a"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_dies_during_an_upload_changes_nothing(
    cloud: Cloud, finished: Path, batchrun: Batchrun, number: signal.Signals
) -> None:
    """No partial file is visible, and an existing file stays complete."""
    cloud.write("out/results.parquet", b"the old one")
    is_held, release = threading.Event(), threading.Event()

    def hold(part: int) -> None:
        if part > 1:
            is_held.set()
            release.wait(60)

    cloud.door.on_part = hold
    process = subprocess.Popen(in_parts("export", finished, "--upload", cloud.url("out")), stderr=subprocess.PIPE)
    try:
        assert is_held.wait(60)
        process.send_signal(number)
        if number != signal.SIGKILL:
            release.set()  # it may clean up while the store answers
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
        release.set()
    assert cloud.visible() == {"out/results.parquet": len(b"the old one")}
    cloud.door.on_part = lambda part: None
    assert batchrun("export", finished, "--upload", cloud.url("out")).code == 0
    assert cloud.everything() == {f"out/{name}": (finished / name).stat().st_size for name in NAMES}


def test_a_failed_upload_leaves_the_run_complete(cloud: Cloud, finished: Path, batchrun: Batchrun) -> None:
    """The store refuses the second part and keeps nothing; the message has the reason, the run directory all files."""
    cloud.door.on_part = lambda part: 403 if part == 2 else None
    command = in_parts(*RUN, "-o", finished, "--upload", cloud.url("out"), "--json")
    done = subprocess.run(command, capture_output=True, timeout=120)
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["exit_code"], summary["completed"]) == (5, 5, 40)
    assert f"could not be uploaded to {cloud.url('out')}" in summary["message"]
    assert f"batchrun export {finished}" in summary["message"]
    assert b"Traceback" not in done.stderr
    assert cloud.everything() == {}
    assert len(results(finished)) == 40
    assert batchrun("export", finished).code == 0, "the job says where to"
    assert set(cloud.everything()) == {f"out/{name}" for name in NAMES}


def test_a_dropped_stream_is_never_completed(cloud: Cloud) -> None:
    """Pyarrow's streams complete their upload when they are garbage collected; batchrun's do not."""
    source = Path("results.parquet")
    source.write_bytes(os.urandom(4 * PART_BYTES))
    cloud.door.on_part = lambda part: os.truncate(source, 2 * PART_BYTES)
    in_a_process(f"""
        import gc
        from pathlib import Path
        from batchrun.storage import objects
        from batchrun.storage.urls import Place
        objects._PIECE_BYTES = {PART_BYTES}
        try:
            objects.upload([Path("{source}")], Place.of("{cloud.url("out")}"))
        except OSError as problem:
            assert "became shorter" in str(problem), problem
        else:
            raise AssertionError
        gc.collect()
    """)
    assert cloud.door.parts
    assert cloud.everything() == {}
    in_a_process(f"""
        from batchrun.storage import objects
        from batchrun.storage.urls import Place
        system, path = objects._located(Place.of("{cloud.url("theirs")}"))
        system.open_output_stream(path).write(b"half")
    """)
    assert cloud.everything() == {"theirs": 4}, "pyarrow has learned to give up: _keep_open may go"


def test_a_missing_bucket_is_refused(cloud: Cloud, batchrun: Batchrun) -> None:
    """With one line, for input, and for results before any request is sent."""
    write_rows("a.jsonl", {"prompt": "a"})
    none, deep = (cloud.url(path).replace(BUCKET, "none-such") for path in ("in", "in/*.jsonl"))
    for arguments in ((none,), (deep,), ("a.jsonl", "--upload", none)):
        done = batchrun("run", *arguments, "-m", MODEL, "-o", "out", "--simulate")
        assert done.code == 2
        assert done.stderr == f"batchrun: {none}: there is no such bucket; create it first, or correct its name\n"
    assert not Path("out").exists()


def test_a_key_that_may_only_write_objects_is_enough(cloud: Cloud, batchrun: Batchrun) -> None:
    """Such a key may not look at the bucket."""
    write_rows("a.jsonl", {"prompt": "a"})
    looks = []

    def refuse(method: str, path: str) -> int | None:
        looks.extend(re.findall(cloud.kind.look, path))
        return 403 if re.search(cloud.kind.look, path) else None

    cloud.door.on_request = refuse
    done = batchrun("run", "a.jsonl", "-m", MODEL, "-o", "out", "--simulate", "--upload", cloud.url("out"))
    assert done.code == 0, done.stderr
    assert looks, "the bucket was not looked at"
    assert set(cloud.everything()) == {f"out/{name}" for name in NAMES}


def in_parts(*arguments: object) -> list[str]:
    """Return a batchrun command that uploads smaller parts, so that it can be stopped between two."""
    script = f"""
        import sys
        sys.path.insert(0, "{ROOT}")
        from batchrun.__main__ import main
        from batchrun.storage import objects
        objects._PIECE_BYTES = {PART_BYTES}
        sys.exit(main())
    """
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]


def prompts(url: str, limit: int | None = None) -> list[str]:
    """Return the content that batchrun reads of a file."""
    script = f"""
        import json
        from batchrun.prompts.input.files import find_files
        from batchrun.prompts.input.reader import RowReader
        rows = RowReader(find_files(["{url}"]), columns=("prompt",), limit={limit})
        print(json.dumps([row.columns["prompt"] for batch in rows for row in batch]))
    """
    return list(json.loads(in_a_process(script)))


def in_a_process(script: str) -> str:
    """Run a script in its own process, because pyarrow may wait for a store while it blocks all other threads."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, check=True, timeout=60, stdout=subprocess.PIPE, text=True).stdout


def test_the_first_rows_of_a_large_object_need_little_of_it(cloud: Cloud) -> None:
    """`--limit 5` reads the beginning; of Parquet the end and the beginning of the needed columns."""
    rows = [{"prompt": os.urandom(500).hex(), "ballast": os.urandom(500).hex()} for _ in range(10_000)]
    pq.write_table(pa.Table.from_pylist(rows), "large.parquet", row_group_size=5000)
    for name in (write_rows("large.jsonl", *rows), "large.parquet"):
        cloud.write(name, Path(name).read_bytes())
        cloud.door.bytes_given = 0
        assert prompts(cloud.url(name), limit=5) == [row["prompt"] for row in rows[:5]]
        assert cloud.door.bytes_given < Path(name).stat().st_size / 4
