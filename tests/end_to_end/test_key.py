"""The key in every command and after every mistake: it is in no file, no output and no traceback."""

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts
from harness.raw_servers import RawServer, Visit, answer, completion

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CANARY = "sk-canary/5f1d+2c9b&8e7a"
"""It has characters that JSON, HTML and URLs escape."""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set the key, and a folder of this test for temporary files."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


def everything_in(folder: Path) -> Iterator[str]:
    """Yield the content of all files of a folder, as bytes and decoded."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        yield path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield repr(pq.read_table(path).to_pylist()) + repr(pq.read_schema(path).metadata)
        elif path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as database:
                tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
                for table in tables:
                    yield repr(database.execute(f"SELECT * FROM {table}").fetchall())


def spellings(key: str) -> list[str]:
    return [key, key.replace("/", "\\/"), key.replace("&", "&amp;"), "sk-canary%2F5f1d%2B2c9b%268e7a", key[-12:]]


def assert_nowhere(done: Any, tmp_path: Path, key: str = CANARY) -> None:
    """Check the output, and all files of the working, home (with the cache) and temporary folders."""
    for text in (done.stdout, done.stderr, *everything_in(tmp_path)):
        assert [each for each in spellings(key) if each in text] == []


def test_no_command_shows_the_key(run: Any, batchrun: Any, endpoint: Any, tmp_path: Path) -> None:
    """With valid and with invalid values. The endpoint does receive it."""
    endpoint.change(keys=[CANARY])
    base_url = ("--base-url", endpoint.base_url)
    prompts = write_prompts("a", "[[simulate: 400]]")
    assert run(prompts, "--json").code == 1
    commands: list[tuple[tuple[Any, ...], int]] = [
        (("run", prompts, "-m", MODEL, *base_url, "-o", "out", "--retry-failed"), 1),
        (("run", prompts, "-m", MODEL, *base_url, "-o", "out", "--max-cost", "1"), 2),
        (("run", prompts, "-m", MODEL, *base_url, "--temperature", "9", "-o", "x"), 2),
        (("run", "no.jsonl", "-m", MODEL, *base_url, "-o", "x"), 2),
        (("status", "out"), 0),
        (("status", "out", "--json"), 0),
        (("status", "nowhere"), 3),
        (("export", "out"), 0),
        (("export", "nowhere"), 3),
        (("show", "out"), 0),
        (("show", "out", "--row", "1"), 0),
        (("show", "out", "--row", "1", "--curl"), 0),
        (("show", "out", "--json"), 0),
        (("init", prompts), 0),
        (("models", *base_url), 0),
        (("models", *base_url, "--json"), 0),
        (("models", *base_url, "--nonsense"), 2),
        (("models", "--base-url", "https://127.0.0.1:1/v1"), 4),
        (("models", "--base-url", "ftp://127.0.0.1/v1"), 2),
        (("simulate", "--nonsense"), 2),
        (("--version",), 0),
    ]
    for arguments, code in commands:
        done = batchrun(*arguments)
        assert (arguments, done.code) == (arguments, code), done.stderr
        assert_nowhere(done, tmp_path)


def test_the_simulator_does_not_show_the_key(spawn: Any, tmp_path: Path) -> None:
    """The simulator accepts any key and needs none."""
    process = spawn("simulate", "--port", 0)
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert "http://127.0.0.1:" in first + stdout + stderr
    assert CANARY not in first + stdout + stderr


def incorrect(key: str) -> bytes:
    return json.dumps({"error": {"message": f"Incorrect API key provided: {key}."}}).encode()


ECHOES: dict[str, tuple[bytes, int]] = {
    "an error in JSON": (answer(incorrect(CANARY), "401 No"), 4),
    "an error in PHP's JSON": (answer(incorrect(CANARY).replace(b"/", b"\\/"), "400 No"), 1),
    "an error in HTML": (answer(b"<p>" + CANARY.replace("&", "&amp;").encode(), "400 No"), 1),
    "an error in text": (answer(CANARY.encode(), "422 No"), 1),
    "an error under a 200": (answer(incorrect(CANARY)), 1),
    "headers under a 200": (answer(json.dumps({"authorization": f"Bearer {CANARY}"}).encode()), 1),
    "headers in text under a 200": (answer(f"Authorization: Bearer {CANARY}\r\n".encode()), 1),
    "an answer": (answer(completion(f"You sent {CANARY} to me.")), 0),
    "a redirect": (answer(b"", "302 Go", "Location: https://login.example/?k=sk-canary%2F5f1d%2B2c9b%268e7a"), 4),
    "a redirect to a host of that name": (answer(b"", "302 Go", f"Location: https://{CANARY}/"), 4),
    "a wish to wait": (answer(b"{}", "400 No", f"Retry-After: {CANARY}", f"X-Key: {CANARY}"), 1),
    "a reason": (answer(b"", f"400 {CANARY}"), 1),
    "no HTTP": (f"{CANARY}\r\n\r\n".encode(), 1),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_key_that_a_server_repeats_is_hidden(name: str, batchrun: Any, tmp_path: Path) -> None:
    """Also during the run and in the log of the checkpoint, and afterwards in `status` and `export`."""
    raw, code = ECHOES[name]
    while_running: list[str] = []

    async def behave(visit: Visit) -> None:
        while True:
            body = await visit.request()
            if b'"fine"' in body:
                while_running.extend(everything_in(Path("out")) if while_running else ["begun"])
                await visit.say(answer(completion("fine")))
            else:
                await visit.say(raw)
                if not raw.startswith(b"HTTP"):
                    return

    server = RawServer(behave)
    with server.in_thread() as base_url:
        flags = ("--max-attempts", 1, "-c", 1, "--patience", "1s", "--json")
        prompts = write_prompts(*(["fine", "echo", "fine"] if code != 4 else ["echo"]))
        done = batchrun("run", prompts, "-m", MODEL, "--base-url", base_url, "-o", "out", *flags)
    assert done.code == code, done.stderr
    assert any(CANARY.encode() in each for each in server.requests)
    assert not any(CANARY in each for each in while_running)
    for each in (done, batchrun("status", "out"), batchrun("export", "out")):
        assert_nowhere(each, tmp_path)


def test_models_hides_the_key_too(batchrun: Any, tmp_path: Path) -> None:
    """In an error and in the name of a model."""
    for raw, code in (
        (answer(incorrect(CANARY), "401 No"), 4),
        (answer(b'{"data": [{"id": "%s"}]}' % CANARY.encode()), 0),
    ):

        async def behave(visit: Visit, raw: bytes = raw) -> None:
            await visit.request()
            await visit.say(raw)

        with RawServer(behave).in_thread() as base_url:
            done = batchrun("models", "--base-url", base_url)
        assert done.code == code
        assert "***" in done.stdout + done.stderr
        assert_nowhere(done, tmp_path)


_IN_WORKERS = pytest.mark.local_only("a function that a worker calls cannot be replaced: it is another process")


@pytest.mark.parametrize(
    "place",
    [pytest.param("send", marks=_IN_WORKERS), pytest.param("settle", marks=_IN_WORKERS), "export"],
)
def test_an_unexpected_error_is_reported_without_the_key(
    place: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message on stderr, a traceback in a file to report, and exit code 70."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError(f"it was\n{{'Authorization': 'Bearer {CANARY}'}}")

    targets = {
        "send": "batchrun.endpoint.http.client.HttpClient.send",
        "settle": "batchrun.endpoint.pool.settlement.Settlement.settle",
        "export": "batchrun.engine.execution.refresh",
    }
    monkeypatch.setattr(targets[place], fail)
    done = run(write_prompts("a"))
    assert done.code == 70
    assert "Traceback" not in done.stderr
    assert "RuntimeError: it was {'Authorization': 'Bearer ***'}" in done.stderr
    [trace] = Path(tmp_path / "temporary").iterdir()
    assert str(trace) in done.stderr
    assert "in fail\n" in trace.read_text()
    assert "{'Authorization': 'Bearer ***'}" in trace.read_text()
    assert_nowhere(done, tmp_path)


@_IN_WORKERS
def test_a_traceback_that_cannot_be_written_to_a_file_is_on_stderr(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It does not contain the key there either."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("batchrun.endpoint.http.client.HttpClient.send", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    done = run(write_prompts("a"))
    assert done.code == 70
    assert "Traceback" in done.stderr
    assert_nowhere(done, tmp_path)


BAD_KEYS = [
    f"{CANARY}\nX-Evil: 1",
    f"{CANARY}\r\n\r\nGET /",
    f"{CANARY} x",
    f"{CANARY}–",
    f"{CANARY}é",
    f"{CANARY}\udcff",
]


@pytest.mark.parametrize("bad", BAD_KEYS)
@pytest.mark.parametrize("command", ["run", "models"])
def test_a_key_that_is_invalid_in_a_header_is_refused_and_not_shown(
    bad: str, command: str, batchrun: Any, endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the variable and the problem; nothing is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    job = (write_prompts("a"), "-m", MODEL, "-o", "out") if command == "run" else ()
    done = batchrun(command, *job, "--base-url", endpoint.base_url)
    assert done.code == 4
    assert "the key in OPENAI_API_KEY has a space, a line break or another character" in done.stderr
    assert endpoint.stats.received == 0
    assert_nowhere(done, tmp_path)


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t"])
def test_whitespace_around_a_key_is_ignored(
    around: str, run: Any, endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors and files often add it."""
    endpoint.change(keys=[CANARY])
    monkeypatch.setenv("OPENAI_API_KEY", around + CANARY + around)
    done = run(write_prompts("a"))
    assert done.code == 0
    assert_nowhere(done, tmp_path)


HEXADECIMAL = "a" * 8 + "5f1d2c9b" * 4
"""A key in the form of W&B's: 40 hexadecimal digits, which could also be the name of a variable."""


@pytest.mark.parametrize("key", [CANARY, HEXADECIMAL, HEXADECIMAL[::-1]])
def test_a_key_instead_of_the_name_of_a_variable_is_not_shown(
    key: str, batchrun: Any, endpoint: Any, tmp_path: Path
) -> None:
    """`--api-key-env sk-…` is a common mistake, and logs keep the message."""
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out",
                    "--api-key-env", key)  # fmt: skip
    assert done.code == 4
    assert "the name of a variable, such as OPENAI_API_KEY, and never the key itself" in done.stderr
    assert_nowhere(done, tmp_path, key)


JOBS: list[Callable[[str], str]] = [
    lambda base_url: f'[endpoint]\nbase_url = "{base_url}"\napi_key = "{CANARY}"\n',
]


@pytest.mark.parametrize("job", JOBS)
def test_a_key_in_a_job_file_is_refused_and_not_stored(job: Any, batchrun: Any, endpoint: Any, tmp_path: Path) -> None:
    """Nothing is written before the job is validated."""
    Path("job.toml").write_text(
        f'[input]\npath = "{write_prompts("a")}"\n[model]\nname = "m"\n{job(endpoint.base_url)}'
    )
    done = batchrun("run", "job.toml", "-o", "out")
    assert done.code == 2
    assert not Path("out").exists()
    assert CANARY not in done.stderr


@pytest.mark.parametrize("key", ["x", "EMPTY", "not-needed", "sk-1234"])
def test_a_placeholder_for_a_key_is_not_hidden_in_answers(
    key: str, run: Any, endpoint: Any, batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users give any word to servers without keys. An answer with this word stays unchanged."""
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer(completion(f"the word {key} in an answer")))

    with RawServer(behave).in_thread() as base_url:
        assert batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", base_url, "-o", "out").code == 0
    assert pq.read_table("out/results.parquet")["response"].to_pylist() == [f"the word {key} in an answer"]


HEADER_SECRET = "azure/7a1c+9d4e&2b8f0011"
"""The value of a secret header; it has a word before it, which servers leave out where they repeat it."""

TWO_ENDPOINTS = """
[input]
path = "in.jsonl"
[model]
name = "meta-llama/Llama-3.1-8B-Instruct"
[limits]
max_attempts = 1
[output]
dir = "out"
[endpoints.gateway]
base_url = "GATEWAY"
headers = { "X-Auth" = { env = "GATEWAY_AUTH" }, "X-Title" = "tests" }
max_concurrency = 1
[endpoints.plain]
base_url = "PLAIN"
api_key_env = "OPENAI_API_KEY"
max_concurrency = 1
"""


def test_no_command_shows_a_secret_header_of_one_of_several_endpoints(
    batchrun: Any, endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint gets it, and repeats it in answers and errors; neither goes to the other endpoint."""
    monkeypatch.setenv("GATEWAY_AUTH", f"Bearer {HEADER_SECRET}")

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            last = visit.number + len(server.requests)
            echo = f"you sent Bearer {HEADER_SECRET}, which is {HEADER_SECRET}"
            await visit.say(answer(completion(echo)) if last % 2 else answer(incorrect(HEADER_SECRET), "400 No"))

    server = RawServer(behave)
    with server.in_thread() as gateway:
        text = TWO_ENDPOINTS.replace('GATEWAY"', f'{gateway}"', 1).replace("PLAIN", endpoint.base_url)
        Path("job.toml").write_text(text)
        write_prompts(*map(str, range(40)))
        commands: list[tuple[Any, ...]] = [
            ("check", "job.toml"),
            ("check", "job.toml", "--probe", "--json"),
            ("run", "job.toml"),
            ("run", "job.toml", "--retry-failed"),
            ("status", "out"),
            ("show", "out"),
            ("show", "out", "--row", 0, "--curl"),
            ("report", "out"),
            ("export", "out"),
        ]
        for arguments in commands:
            done = batchrun(*arguments)
            assert done.code in (0, 1), (arguments, done.stderr)
            for text in (done.stdout, done.stderr, *everything_in(tmp_path)):
                assert not any(each in text for each in (HEADER_SECRET, HEADER_SECRET[-12:], CANARY)), arguments
    assert server.requests
    for request in server.requests:
        assert b"X-Auth: Bearer " + HEADER_SECRET.encode() in request
        assert b"authorization:" not in request.lower()
        assert CANARY.encode() not in request
    assert endpoint.stats.received


def test_a_secret_header_without_its_variable_is_refused(batchrun: Any, endpoint: Any, tmp_path: Path) -> None:
    """Nothing is sent anywhere, and the message can be typed."""
    Path("job.toml").write_text(
        TWO_ENDPOINTS.replace('GATEWAY"', f'{endpoint.base_url}"', 1).replace("PLAIN", "http://127.0.0.1:9/v1")
    )
    write_prompts("a")
    done = batchrun("run", "job.toml")
    assert done.code == 4
    assert "no value for the header X-Auth" in done.stderr
    assert "export GATEWAY_AUTH=…" in done.stderr
    assert endpoint.stats.received == 0
    assert not Path("out").exists()
