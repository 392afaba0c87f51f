"""After every kind of end, the key is only in its header."""

import os
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts

from batchrun import BatchrunError, Endpoint, Input, Job, Limits, Model, Output
from batchrun import run as run_job

CANARY = "sk-canary-5f1d2c9b"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture(autouse=True)
def canary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of every run here."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def assert_nowhere(done: Any) -> None:
    """Check that the canary is not in the output, and in no file below the current folder."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert files
    assert CANARY not in done.stdout + done.stderr
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_the_key_is_not_shown_after_a_success(run: Any, endpoint: Any) -> None:
    """With and without streams. The endpoint does receive it."""
    endpoint.change(keys=[CANARY])
    for flags in (["--json"], ["--stream", "--restart"]):
        done = run(write_prompts("a", "[[simulate: 400]]", "[[simulate: 500 x1]]"), *flags)
        assert done.code == 1
        assert_nowhere(done)


def test_the_key_is_not_shown_after_a_401(run: Any, endpoint: Any) -> None:
    """The message is about the key."""
    endpoint.change(keys=["sk-other"])
    done = run(write_prompts("a"))
    assert done.code == 4
    assert_nowhere(done)


@pytest.fixture
def closed_port() -> int:
    """Return a port without a server."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def test_the_key_is_not_shown_after_refused_connections(batchrun: Any, closed_port: int) -> None:
    """The error of the HTTP library contains the request."""
    base_url = f"http://127.0.0.1:{closed_port}/v1"
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", base_url, "-o", "out", "--patience", "1s")
    assert done.code == 4
    assert "no connection" in done.stderr
    assert_nowhere(done)


@pytest.mark.parametrize("fault", ["cut", "302", "not_http"])
def test_the_key_is_not_shown_after_an_invalid_reply(run: Any, endpoint: Any, fault: str) -> None:
    """The reply is cut off, or is a redirect that would send the key to another host."""
    done = run(write_prompts(f"[[simulate: {fault}]]" if fault != "not_http" else "[[simulate: html]]", "b"),
               "--max-attempts", 1, "--patience", "1s")  # fmt: skip
    assert done.code in (1, 4, 5)
    assert "Traceback" not in done.stderr
    assert_nowhere(done)


def test_a_key_that_cannot_be_sent_is_not_shown(batchrun: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the name of its variable, but not its value."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY}\nX-Evil: 1")
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    assert done.code == 4
    assert "OPENAI_API_KEY" in done.stderr
    assert_nowhere(done)


def test_the_key_is_not_in_a_python_exception(closed_port: int) -> None:
    """Including the exceptions that it was raised from."""
    job = Job(
        input=Input(path=(write_prompts("a"),)),
        model=Model(names=(MODEL,)),
        endpoint=Endpoint(base_url=f"http://127.0.0.1:{closed_port}/v1", api_key_env="NOT_SET"),
        limits=Limits(patience_s=1),
        output=Output(dir="out"),
    )
    os.environ.pop("NOT_SET", None)
    with pytest.raises(BatchrunError) as caught:
        run_job(job)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_netrc_of_the_user_is_ignored(run: Any, endpoint: Any) -> None:
    """Neither an entry for this host nor a default entry replaces the key or stops the run."""
    endpoint.change(keys=[CANARY])
    Path.home().joinpath(".netrc").write_text("machine 127.0.0.1 login a password b\ndefault login c password d\n")
    assert run(write_prompts("a"), "--patience", "0.2s").code == 0


def test_a_proxy_does_not_receive_requests_to_this_machine(
    run: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP to loopback is allowed because these requests never leave the machine."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    assert run(write_prompts("a"), "--patience", "0.2s").code == 0
