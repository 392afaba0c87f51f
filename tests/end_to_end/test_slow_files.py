"""If a file system hangs, a message names the step that waits for it."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts

from batchrun import Job, run
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.store import Store
from batchrun.endpoint import access
from batchrun.engine import execution
from batchrun.engine.options import Options
from batchrun.engine.shared_limit import LimitMemory
from batchrun.errors import EndpointRefused, InputError
from batchrun.job.sections import Input, Model, Output
from batchrun.prompts.source import Source
from batchrun.report.bar import Silence
from batchrun.storage import slow

PATIENCE_S = 50.0

JOB = Job(name="job", input=Input(path=("in.jsonl",)), model=Model(names=("m",)), output=Output(dir="out"))


class Log(Silence):
    """Keeps the messages about one slow step, and lets it continue: on a busy machine other steps are slow too."""

    def __init__(self, step: str) -> None:
        self.messages: list[str] = []
        self.reported = threading.Event()
        self._begins = f"still waiting for {step} after "

    def say(self, message: str) -> None:
        if message.startswith(self._begins):
            self.messages.append(message)
            self.reported.set()


@pytest.mark.parametrize(
    ("where", "name", "step", "place"),
    [
        (DirectoryLock, "__enter__", "the lock", "out"),
        (Store, "__enter__", "the checkpoint", "out"),
        (Source, "open", "the first rows", "in.jsonl"),
        (LimitMemory, "__init__", "the learned limit", "cache/batchrun"),
    ],
)
def test_a_step_that_hangs_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type, name: str, step: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.1)
    write_prompts("a")
    log = Log(step)
    real = getattr(where, name)

    def hang(self: Any, *arguments: Any) -> Any:
        assert log.reported.wait(PATIENCE_S)
        return real(self, *arguments)

    monkeypatch.setattr(where, name, hang)
    run(JOB, Options(simulate=True, progress=log))
    assert log.messages[0].startswith(f"still waiting for {step} after 0.1 s: the file system of ")
    assert f"{place} is slow" in log.messages[0]


def test_a_home_folder_that_hangs_is_named_where_the_key_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    write_prompts("a")
    log = Log("the key")
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.1)

    def hang(*_: Any) -> Any:
        assert log.reported.wait(PATIENCE_S)
        raise EndpointRefused("no key")

    monkeypatch.setattr(access, "find_key", hang)
    with pytest.raises(EndpointRefused):
        run(JOB, Options(progress=log))
    assert "still waiting for the key after 0.1 s: the file system of ~/.netrc " in log.messages[0]


@pytest.mark.parametrize(
    "arguments",
    [["check", "in.jsonl", "-m", "m"], ["check", "in.jsonl", "-m", "m", "--probe"], ["models"]],
)
def test_other_commands_report_a_home_folder_that_hangs_too(
    arguments: list[str], batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.1)
    write_prompts("a")

    def hang(*_: Any) -> Any:
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join(PATIENCE_S)  # it prints the message
        raise EndpointRefused("no key")

    monkeypatch.setattr(access, "find_key", hang)
    assert "still waiting for the key after 0.1 s: the file system of ~/.netrc " in batchrun(*arguments).stderr


def test_a_remote_input_that_hangs_is_reported_without_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A presigned URL opens its file to everybody who can read the message."""
    log = Log("the first rows")
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.1)

    def hang(self: Any) -> Any:
        assert log.reported.wait(PATIENCE_S)
        raise InputError("not there")

    monkeypatch.setattr(Source, "open", hang)
    job = dataclasses.replace(JOB, input=Input(path=("https://host/in.jsonl?X-Amz-Signature=SECRET",)))
    with pytest.raises(InputError):
        run(job, Options(simulate=True, progress=log))
    assert ": https://host/in.jsonl?… is slow or does not answer; check the address" in log.messages[0]


def test_a_place_for_uploads_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log("the upload's folder")
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.1)

    def hang(*arguments: Any) -> Any:
        assert log.reported.wait(PATIENCE_S)
        raise InputError("not there")

    monkeypatch.setattr(execution, "check_upload", hang)
    job = dataclasses.replace(JOB, output=Output(dir="out", upload="s3://bkt/out"))
    with pytest.raises(InputError):
        run(job, Options(simulate=True, progress=log))
    assert "still waiting for the upload's folder after 0.1 s: s3://bkt/out is slow" in log.messages[0]
