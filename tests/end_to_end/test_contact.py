"""What a run says of an endpoint that never answers, refuses a model or is elsewhere: the server's books agree."""

import signal
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.engines import IS_RAY
from harness.prompts import results, write_prompts
from harness.raw_servers import RawServer, Visit, answer, completion, prompt_of

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OTHER = "openai/gpt-oss-20b"


@pytest.fixture
def nowhere() -> str:
    """A base URL where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_an_endpoint_that_never_answers_is_asked_for_no_longer_than_the_patience_and_its_url_doubted(
    batchrun: Any, nowhere: str
) -> None:
    """The exit code is that of a wrong URL; no row fails."""
    began_s = time.monotonic()
    done = batchrun("run", write_prompts("a", "b"), "-m", MODEL, "--base-url", nowhere, "-o", "out", "--patience", "1s")
    assert time.monotonic() - began_s < 10
    assert done.code == 4, done.stderr
    why = f"nothing has answered yet at {nowhere}: no connection: Connection refused"
    assert f"{why}; asking again for at most 1.0 s; is this URL right?" in done.stderr
    assert f"2 rows are left; {why}; is this URL right?" in done.stderr
    assert "--project" not in done.stderr
    assert results() == []
    assert why in batchrun("status", "out").stdout


def test_without_a_patience_the_cure_for_a_server_that_still_starts_is_named_at_once(spawn: Any, nowhere: str) -> None:
    """The command that waits is in the first message, and the minute that is waited for."""
    process = spawn("run", write_prompts("a"), "-m", MODEL, "--base-url", nowhere, "-o", "out")
    line = next(line for line in process.stderr if "nothing has answered yet" in line)
    assert "asking again for at most 1 min 00 s" in line
    assert "A server that is still starting needs more time: --patience 1h" in line


@pytest.mark.local_only("the deadline is over before workers have started")
def test_a_run_that_has_answers_of_an_endpoint_waits_for_it_as_for_any_outage(batchrun: Any) -> None:
    """Its URL was right, so it is not doubted."""

    async def behave(visit: Visit) -> None:
        while True:
            await visit.say(answer(completion(prompt_of(await visit.request()))))

    prompts = write_prompts("a", "b")
    with RawServer(behave).in_thread() as base_url:
        arguments = ("run", prompts, "-m", MODEL, "--base-url", base_url, "-o", "out")
        assert batchrun(*arguments, "--limit", 1).code == 0
    with Checkpoint(Path("out")) as checkpoint:
        assert checkpoint.fact(facts.HEARD) == [f"{base_url}#"]
    done = batchrun(*arguments, "--max-duration", "2s")
    assert done.code == 5
    assert "paused (connection): no connection: Connection refused" in done.stderr
    assert "for at most 12 h" in done.stderr
    assert "nothing has answered" not in done.stderr
    elsewhere = batchrun(*arguments[:-4], "--base-url", "http://127.0.0.1:1/v1", "-o", "new", "--patience", "1s")
    assert elsewhere.code == 4


def test_https_to_a_server_that_speaks_http_is_answered_with_the_url_that_works(batchrun: Any, endpoint: Any) -> None:
    """It was asked; no key was sent to it."""
    wrong = endpoint.base_url.replace("http:", "https:")
    arguments = ("run", write_prompts("a"), "-m", MODEL, "-o", "out", "--patience", "1s")
    done = batchrun(*arguments, "--base-url", wrong)
    assert done.code == 4, done.stderr
    assert f"no secure connection: wrong version number; {endpoint.base_url} answers: use --base-url" in done.stderr
    assert endpoint.stats.received == 0
    assert batchrun(*arguments, "--base-url", done.stderr.split("use --base-url ")[1].split()[0]).code == 0
    done = batchrun("models", "--base-url", wrong)
    assert done.code == 4
    assert f"use --base-url {endpoint.base_url}" in done.stderr


def test_a_base_url_without_its_version_is_answered_with_the_url_that_works(batchrun: Any, endpoint: Any) -> None:
    """In `run`, `check --probe` and `models`; the URL of the message can be typed."""
    bare = endpoint.base_url.removesuffix("/v1")
    arguments = (write_prompts("a"), "-m", MODEL, "-o", "out")
    done = batchrun("run", *arguments, "--base-url", bare)
    assert done.code == 4, done.stderr
    cure = f"the API is at {endpoint.base_url}: use --base-url {endpoint.base_url}"
    assert cure in done.stderr
    assert cure in batchrun("check", *arguments, "--base-url", bare, "--probe").stdout
    assert cure in batchrun("models", "--base-url", bare).stderr
    assert batchrun("run", *arguments, "--base-url", endpoint.base_url).code == 0


def test_a_base_url_that_ends_in_a_path_of_the_api_is_refused_with_the_right_one(batchrun: Any) -> None:
    """Before anything is sent."""
    url = "http://127.0.0.1:8000/v1"
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "-o", "out", "--base-url", f"{url}/chat/completions")
    assert done.code == 2
    assert f"must end before /chat/completions: {url}" in done.stderr


def test_a_web_page_at_the_url_is_answered_with_the_url_of_the_api(batchrun: Any) -> None:
    """A site answers each path with a page, and the API is below another path."""

    async def behave(visit: Visit) -> None:
        while True:
            head = (await visit.reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if "content-length" in line.lower()), 0
            )
            await visit.reader.readexactly(length)
            is_api = head.startswith("GET /api/v1/models ")
            await visit.say(answer(orjson.dumps({"data": [{"id": MODEL}]}) if is_api else b"<html>Welcome</html>"))

    with RawServer(behave).in_thread() as base_url:
        done = batchrun("run", write_prompts("a"), "-m", MODEL, "-o", "out", "--base-url", base_url)
        api = base_url.replace("/v1", "/api/v1")
    assert done.code == 4, done.stderr
    assert f"the API is at {api}: use --base-url {api}" in done.stderr


@pytest.mark.parametrize(("asked", "nearest"), [("gpt-oss-20", OTHER), ("llama-3.1-8b-instruct", MODEL)])
def test_a_model_that_is_not_served_is_answered_with_the_nearest_name(
    batchrun: Any, endpoint: Any, asked: str, nearest: str
) -> None:
    arguments = (write_prompts("a"), "-m", asked, "-o", "out", "--base-url", endpoint.base_url)
    done = batchrun("run", *arguments)
    assert done.code == 4
    assert f"{asked}: model not found; did you mean {nearest}?" in done.stderr
    assert f"did you mean {nearest}?" in batchrun("check", *arguments, "--probe").stdout


def test_a_model_that_is_not_served_does_not_end_the_run_of_the_others(batchrun: Any, endpoint: Any) -> None:
    """Every row of the served model is answered; the message names the other, and a next run sends only its rows."""
    rows = 40
    prompts = write_prompts(*(str(number) for number in range(rows)))
    arguments = ("run", prompts, "-m", MODEL, "-m", "gpt-oss-20", "--base-url", endpoint.base_url, "-o", "out")
    done = batchrun(*arguments, "--json")
    assert done.code == done.json["exit_code"] == 4
    assert (done.json["completed"], done.json["failed"]) == (rows, 0)
    assert f"{rows} rows are left; gpt-oss-20: model not found; did you mean {OTHER}?" in done.json["message"]
    assert "nothing more is sent to gpt-oss-20: model not found" in done.stderr
    assert Counter(row["model"] for row in results()) == {MODEL: rows}
    assert endpoint.stats.answered == rows
    attempts = done.json["attempts"]
    assert attempts == endpoint.stats.received
    again = batchrun(*arguments, "--json")
    assert again.code == 4
    assert endpoint.stats.answered == rows
    assert again.json["attempts"] == endpoint.stats.received


def test_the_base_url_of_the_environment_is_obeyed_and_named(
    batchrun: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch, nowhere: str
) -> None:
    """A flag wins over it; the run directory keeps it: without the variable nothing goes elsewhere silently."""
    arguments = ("run", write_prompts("a", "b"), "-m", MODEL, "-o", "out")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{endpoint.base_url}/")
    done = batchrun(*arguments, "--limit", 1)
    assert done.code == 0, done.stderr
    assert f"note: the endpoint is {endpoint.base_url} (from OPENAI_BASE_URL)" in done.stderr
    assert f"the endpoint is {endpoint.base_url} (from OPENAI_BASE_URL)" in batchrun("check", *arguments[1:]).stdout
    assert endpoint.stats.received == 1
    models = batchrun("models")
    assert (models.code, MODEL in models.stdout) == (0, True)
    assert f"note: the endpoint is {endpoint.base_url} (from OPENAI_BASE_URL)" in models.stderr
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("WANDB_API_KEY", "a-key-for-another-endpoint")
    elsewhere = batchrun(*arguments)
    assert elsewhere.code == 2
    assert f"1 answer of this run came from {endpoint.base_url}" in elsewhere.stderr
    monkeypatch.setenv("OPENAI_BASE_URL", nowhere)
    flagged = batchrun(*arguments, "--base-url", endpoint.base_url)
    assert flagged.code == 0
    assert "OPENAI_BASE_URL" not in flagged.stderr
    assert endpoint.stats.received == 2


@pytest.mark.parametrize("key", ["", "a-key-that-is-wrong"])
def test_a_refusal_of_the_key_says_whether_one_was_sent_and_from_where(
    batchrun: Any, endpoint: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project is not mentioned: only W&B has it."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    endpoint.change(keys=["sk-right"])
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    assert done.code == 4
    assert ("no key was sent; set OPENAI_API_KEY" in done.stderr) == (not key)
    assert ("check the key in OPENAI_API_KEY" in done.stderr) == bool(key)
    assert "--project" not in done.stderr


def test_the_first_ctrl_c_says_how_many_answers_it_waits_for_and_for_how_long_at_most(
    spawn: Any, endpoint: Any
) -> None:
    """The server has as many in flight; none takes longer than the timeout."""
    write_prompts("[[simulate: slow 3]]", "[[simulate: slow 3]]", "[[simulate: slow 3]]")
    flags = ("-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "--timeout-s", 90)
    process = spawn("run", "in.jsonl", *flags)
    endpoint.wait(lambda: endpoint.stats.received == 3)
    process.send_signal(signal.SIGINT)
    line = next(line for line in process.stderr if "stopping" in line)
    if IS_RAY:  # workers report what they have sent up to a second later
        line = line.replace("waiting for up to 3", "waiting for 3")
    assert "waiting for 3 answers in flight, for at most 1 min " in line
    assert process.wait(20) == 130
    assert endpoint.stats.answered == 3


def test_the_limit_that_a_run_has_learned_survives_a_kill(spawn: Any, endpoint: Any) -> None:
    """It is stored as it is learned, and is near what the endpoint holds."""
    endpoint.change(latency_s=0.1, concurrency_limit=20)
    prompts = write_prompts(*(str(number) for number in range(3_000)))
    process = spawn("run", prompts, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    endpoint.wait(lambda: endpoint.stats.answered > 600)
    process.kill()
    process.wait(10)
    with Checkpoint(Path("out")) as checkpoint:
        assert 15 <= (checkpoint.fact(facts.LIMIT) or 0) <= 25
        assert checkpoint.fact(facts.HEARD) == [f"{endpoint.base_url}#"]
