"""What W&B is shown, and when, with a stand-in for its SDK. The real one: tests/real/test_wandb.py."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.prompts import write_prompts
from publish.conftest import Made

from batchrun.errors import EndpointRefused, JobError, PublishError
from batchrun.job.sections import Input, Job
from batchrun.publish import wandb
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord
from batchrun.publish.wandb.figures import config


class Sdk:
    """A stand-in for W&B's SDK: it notes what it is told."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.artifacts: list[str] = []
        self.ended: list[int] = []
        self.summary: dict[str, Any] = {}
        self.trouble: Exception | None = None
        self.url = "https://wandb.example/team/project/runs/1"

    def Settings(self, **settings: Any) -> None:  # noqa: N802  # as the SDK has it
        """Take any."""

    def init(self, **settings: Any) -> "Sdk":
        if self.trouble is not None:
            raise self.trouble
        self.begun.append(settings)
        if settings["mode"] == "offline":
            Path(settings["dir"], "wandb", f"offline-run-{len(self.begun)}-{settings['id']}").mkdir(parents=True)
        return self

    def log(self, figures: dict[str, Any]) -> None:
        self.logged.append(figures)

    def Artifact(self, name: str, type: str) -> Any:  # noqa: A002, N802  # as the SDK has it
        self.artifacts.append(name)
        return SimpleNamespace(add_file=lambda *file, **settings: None)

    def log_artifact(self, artifact: Any) -> Any:
        return SimpleNamespace(wait=lambda timeout: None)

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sdk:
    """The stand-in, where the SDK would be."""
    sdk = Sdk()
    monkeypatch.setitem(sys.modules, "wandb", sdk)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return sdk


def told(directory: Path) -> list[str]:
    """Publish; return what was said."""
    messages: list[str] = []
    with Ledger(directory) as ledger, RunRecord(directory) as record:
        wandb.publish(record, ledger, "team/project", messages.append)
    return messages


def followed(directory: Path, *meanwhile: Callable[[], object]) -> list[str]:
    """Follow a run during which something happens between one look and the next; return what was said."""
    messages: list[str] = []
    steps: Iterator[Callable[[], object]] = iter(meanwhile)

    def has_ended(wait_s: float) -> bool:
        if (step := next(steps, None)) is None:
            return True
        step()
        return False

    with Ledger(directory) as ledger:
        wandb.follow(directory, ledger, "team/project", has_ended, messages.append)
    return messages


def test_what_w_and_b_has_is_not_sent_again(made: Made, sdk: Sdk) -> None:
    directory = made(write_prompts("one"))
    assert told(directory)[-1] == f"wandb: team/project: {sdk.url}"
    assert told(directory) == ["wandb: team/project: already published"]
    assert len(sdk.begun) == 1
    assert sdk.begun[0]["resume"] == "allow"


def test_what_is_on_this_machine_only_is_not_there(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Online, it is sent, as the same W&B run."""
    directory = made(write_prompts("one"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "kept on this machine" in told(directory)[-1]
    assert "already published" in told(directory)[-1]
    monkeypatch.setenv("WANDB_MODE", "online")
    assert sdk.url in told(directory)[-1]
    assert [each["mode"] for each in sdk.begun] == ["offline", "online"]
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_what_was_recorded_offline_and_deleted_is_recorded_again(
    made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = made(write_prompts("one"))
    told(directory)
    (directory / "wandb").rename("away")
    assert "kept on this machine" in told(directory)[-1]
    assert [each["resume"] for each in sdk.begun] == [None, None], "W&B would refuse what goes on with nothing"


def test_what_is_recorded_offline_later_goes_on_with_what_was_before(
    made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B puts it behind that when both are sent, which one command does."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for prompts in (["one"], ["one", "two"]):
        directory = made(write_prompts(*prompts))
        assert told(directory)[-1].endswith(f"send it: wandb sync {directory}/wandb")
    assert [each["resume"] for each in sdk.begun] == [None, "must"]
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_another_server_has_another_run(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    told(directory)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert sdk.url in told(directory)[-1]
    assert sdk.begun[0]["id"] != sdk.begun[1]["id"]


def test_disabled_is_no_way_to_publish(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(JobError, match="WANDB_MODE = disabled"):
        told(directory)
    assert sdk.begun == []


@pytest.mark.parametrize(
    ("directory", "name"),
    [("été runs #1", "t-runs-1-results"), ("日本", "results"), ("x" * 200, "x" * 120 + "-results")],
)
def test_an_artifact_has_a_name_that_w_and_b_takes(made: Made, sdk: Sdk, directory: str, name: str) -> None:
    told(made(write_prompts("one"), directory))
    assert sdk.artifacts == [name]
    assert sdk.begun[0]["name"] == directory, "which people read"


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("stopped", 1), ("interrupted", 1)])
def test_w_and_b_is_told_whether_a_run_has_come_to_its_end(made: Made, sdk: Sdk, state: str, code: int) -> None:
    directory = made(write_prompts("one"))
    summary = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(summary | {"state": state}))
    told(directory)
    assert sdk.ended == [code]
    assert sdk.logged[-1]["in_flight"] == sdk.logged[-1]["rows_per_s"] == 0


def test_a_run_is_followed_from_its_beginning_to_its_end(made: Made, sdk: Sdk) -> None:
    directory = made(write_prompts("one"))
    followed(directory, lambda: None, lambda: made(write_prompts("one", "two")))
    assert [each["rows"] for each in sdk.logged] == [2, 2, 4, 4]
    assert sdk.logged[1]["rows_per_s"] == 0
    assert sdk.logged[2]["rows_per_s"] > 0
    assert sdk.logged[3]["rows_per_s"] == 0
    assert len(sdk.ended) == 1


def test_a_run_that_had_nothing_to_do_is_not_shown_again(made: Made, sdk: Sdk) -> None:
    """One that had is, as the same W&B run."""
    directory = made(write_prompts("one"))
    followed(directory)
    assert followed(directory, lambda: None) == ["wandb: team/project: already published"]
    assert len(sdk.begun) == 1
    followed(directory, lambda: made(write_prompts("one", "two")))
    assert len(sdk.begun) == 2
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_of_a_run_that_has_died_there_is_all_that_it_had(made: Made, sdk: Sdk) -> None:
    """It has left no results: they are made of its checkpoint."""
    directory = made(write_prompts("one"))
    (directory / "results.parquet").unlink()
    assert sdk.url in followed(directory)[-1]
    assert (directory / "results.parquet").exists()


@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        (RuntimeError("Failed: returned error 401: {}"), EndpointRefused, r"may not write there \(HTTP 401\).*API_KEY"),
        (
            RuntimeError("Failed: returned error 403: {}"),
            EndpointRefused,
            r"\(HTTP 403\).* that you may write to team/project",
        ),
        (
            type("AuthenticationError", (Exception,), {})("too short."),
            EndpointRefused,
            "wandb: team/project: too short$",
        ),
        (RuntimeError("returned error 500: 4011"), PublishError, "returned error 500: 4011; .*publish it again"),
        (TimeoutError(), PublishError, "wandb: team/project: TimeoutError; "),
    ],
)
def test_what_the_sdk_raises_is_told_with_a_cure(
    made: Made, sdk: Sdk, trouble: Exception, kind: type[Exception], message: str
) -> None:
    """A key that is not taken has an exit code of its own, as elsewhere."""
    directory = made(write_prompts("one"))
    sdk.trouble = trouble
    with pytest.raises(kind, match=message):
        told(directory)
    sdk.trouble = None
    assert sdk.url in told(directory)[-1]


def test_the_config_has_the_job_and_no_signature() -> None:
    """A presigned URL opens its file for whoever reads it."""
    job = Job(input=Input(path=("https://host/in.jsonl?X-Amz-Signature=SECRET", "other.jsonl")))
    published = config(job)
    assert published["input"]["path"] == ["https://host/in.jsonl?…", "other.jsonl"]
    assert "publish" not in published
