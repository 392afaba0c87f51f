"""The key is nowhere but in its header, however a run ends."""

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
    """The canary is in nothing that was printed, and in no file under the folder where the command ran."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert files
    assert CANARY not in done.stdout + done.stderr
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_not_after_a_success(run: Any, endpoint: Any) -> None:
    """Streamed or not; and it did arrive."""
    endpoint.change(keys=[CANARY])
    for flags in (["--json"], ["--stream", "--restart"]):
        done = run(write_prompts("a", "[[simulate: 400]]", "[[simulate: 500 x1]]"), *flags)
        assert done.code == 1
        assert_nowhere(done)


def test_not_after_a_401(run: Any, endpoint: Any) -> None:
    """Where a message about the key is due."""
    endpoint.change(keys=["sk-other"])
    done = run(write_prompts("a"))
    assert done.code == 4
    assert_nowhere(done)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def test_not_after_refused_connections(batchrun: Any, closed_port: int) -> None:
    """Where a foreign error has the request in hand."""
    base_url = f"http://127.0.0.1:{closed_port}/v1"
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", base_url, "-o", "out", "--patience", "1s")
    assert done.code == 5
    assert "no connection" in done.stderr
    assert_nowhere(done)


@pytest.mark.parametrize("fault", ["cut", "302", "not_http"])
def test_not_after_an_answer_that_is_none(run: Any, endpoint: Any, fault: str) -> None:
    """Broken off, or a redirect that would carry the key elsewhere."""
    done = run(write_prompts(f"[[simulate: {fault}]]" if fault != "not_http" else "[[simulate: html]]", "b"),
               "--max-attempts", 1, "--patience", "1s")  # fmt: skip
    assert done.code in (1, 4, 5)
    assert "Traceback" not in done.stderr
    assert_nowhere(done)


def test_not_where_the_key_cannot_be_sent(batchrun: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable it is in, and not what is in it."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY}\nX-Evil: 1")
    done = batchrun("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    assert done.code == 4
    assert "OPENAI_API_KEY" in done.stderr
    assert_nowhere(done)


def test_not_in_an_exception_that_python_shows(closed_port: int) -> None:
    """With all that it was raised from."""
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


def test_a_netrc_of_the_user_is_no_obstacle(run: Any, endpoint: Any) -> None:
    """Neither an entry for this host nor a default one replaces the key, or keeps the run from going."""
    endpoint.change(keys=[CANARY])
    Path.home().joinpath(".netrc").write_text("machine 127.0.0.1 login a password b\ndefault login c password d\n")
    assert run(write_prompts("a"), "--patience", "0.2s").code == 0


def test_a_proxy_does_not_get_what_goes_to_this_machine(
    run: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Http to loopback is allowed because it leaves the machine for nobody."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    assert run(write_prompts("a"), "--patience", "0.2s").code == 0
