"""Publishing to Weave when something goes wrong: kills, server errors, refusals, another folder, another key."""

import base64
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_rows
from real.environments import ROOT
from real.outside import Outside
from real.weave.conftest import MODELS, Command, environment, files
from real.weave_stub import WeaveStub


def test_publishing_resumes_after_a_kill(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, strangers: Outside, python: str
) -> None:
    """The batch without an answer is found on the server; the incomplete evaluation is made again."""
    for at in ("/calls/complete", "/call/start"):
        reached, killed = threading.Event(), threading.Event()

        def stop(path: str, at: str = at, reached: Any = reached, killed: Any = killed) -> None:
            if path.endswith(at) and not killed.is_set():
                reached.set()
                killed.wait(30)

        stub.after = stop
        process = subprocess.Popen(
            [python, "-m", "batchrun", "publish", "out", "--weave", "team/project"],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment(stub, strangers),
        )
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.set()
        stub.after = lambda path: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert stub.sent_twice == []
    assert len(stub.traces) == len(run)
    assert len(stub.evaluations) == 2
    assert all(each["ended_at"] for each in stub.evaluations)
    assert stub.deleted, "what was cut off is gone"
    assert len(stub.of_class("Leaderboard")) == 1


def test_an_outage_of_the_server_does_not_change_the_run(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """Each step fails once, with a message, and leaves the run unchanged; at the end everything is published once."""
    before = files()
    for path in ("/server_info", "/calls/complete", "/table/create", "/call/start"):
        stub.is_broken = lambda asked, path=path: 500 if asked.endswith(path) else None
        done = command("publish", "out", "--weave", "team/project", WEAVE_RETRY_MAX_ATTEMPTS="1")
        assert done.code == 5, (path, done)
        assert "team/project" in done.stderr
        assert "publish" in done.stderr
        assert "Traceback" not in done.stderr
    stub.is_broken = lambda asked: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), len(stub.evaluations), stub.sent_twice) == (len(run), 2, [])
    assert files() == before


def test_a_refusal_of_the_server_is_reported_and_tried_again(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    stub.is_broken = lambda path: 400 if path.endswith("/calls/complete") else None
    done = command("publish", "out", "--weave", "team/project")
    assert done.code == 5
    assert "the server refused 24 calls (" in done.stderr
    assert "refused on request" in done.stderr, "the reason is missing"
    stub.is_broken = lambda path: None
    assert command("publish", "out", "--weave", "team/project").code == 0
    assert (len(stub.traces), stub.sent_twice) == (len(run), [])


def test_without_the_right_to_delete_an_incomplete_evaluation_stays(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub
) -> None:
    """A message says so, and a new evaluation is made."""
    stub.is_broken = lambda path: 500 if path.endswith("/calls/complete") and stub.traces else None
    assert command("publish", "out", "--weave", "team/project", WEAVE_RETRY_MAX_ATTEMPTS="1").code == 5
    (cut_off,) = (each["id"] for each in stub.evaluations)
    stub.is_broken = lambda path: 403 if path.endswith("/calls/delete") else None
    done = command("publish", "out", "--weave", "team/project")
    assert done.code == 0, done.stderr
    assert "stays visible: the server does not allow to delete it" in done.stderr
    assert {each["id"]: each.get("output") is None for each in stub.evaluations}.pop(cut_off)
    assert sum(each.get("output") is not None for each in stub.evaluations) == 2
    assert "delete" not in command("publish", "out", "--weave", "team/project").stderr


def test_publishing_from_another_folder_has_all_inputs(
    command: Command, run: list[dict[str, Any]], stub: WeaveStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path("out").absolute()
    before = files()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("publish", directory, "--weave", "team/project").code == 0
    assert len(stub.traces) == len(run)
    assert all(call["inputs"]["messages"] for call in stub.traces)
    assert files(str(directory)) == before


def test_a_key_is_found_in_netrc_under_the_name_of_the_server(
    command: Command, stub: WeaveStub, tmp_path: Path
) -> None:
    """Weave itself only looks for the key of W&B, which must not go to another server."""
    prompts = write_rows("in.jsonl", {"prompt": "one"})
    assert command("run", prompts, "-m", MODELS[0], "--simulate", "-o", "out").code == 0
    netrc = tmp_path / "home/.netrc"
    for number, host in enumerate((stub.base_url.removeprefix("http://"), "127.0.0.1", "api.wandb.ai")):
        key = str(number) * 40
        netrc.write_text(f"machine {host} login user password {key}\n")
        netrc.chmod(0o600)
        done = command("publish", "out", "--weave", f"team/project{number}", WANDB_API_KEY="")
        is_own = host != "api.wandb.ai"
        assert done.code == (0 if is_own else 4), done.stderr
        assert (f"Basic {base64.b64encode(f'api:{key}'.encode()).decode()}" in stub.keys) == is_own
        assert key.encode() not in b"".join(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())
    assert "WANDB_API_KEY" in done.stderr
