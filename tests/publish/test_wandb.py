"""What is published to W&B, with a stand-in for its SDK; tests/real/test_wandb.py uses the real one."""

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
    """A stand-in for W&B's SDK that records its calls."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.artifacts: list[str] = []
        self.ended: list[int] = []
        self.summary: dict[str, Any] = {}
        self.trouble: Exception | None = None
        self.url = "https://wandb.example/team/project/runs/1"

    def Settings(self, **settings: Any) -> None:  # noqa: N802  # as the SDK has it
        """Accept any settings."""

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
    """Put the stand-in in the place of the SDK."""
    sdk = Sdk()
    monkeypatch.setitem(sys.modules, "wandb", sdk)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return sdk


def published(directory: Path) -> list[str]:
    """Publish; return the messages."""
    messages: list[str] = []
    with Ledger(directory) as ledger, RunRecord(directory) as record:
        wandb.publish(record, ledger, "team/project", messages.append)
    return messages


def followed(directory: Path, *meanwhile: Callable[[], object]) -> list[str]:
    """Follow a run; take one of the given steps before each look. Return the messages."""
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


def test_a_published_run_is_not_sent_again(made: Made, sdk: Sdk) -> None:
    directory = made(write_prompts("one"))
    assert published(directory)[-1] == f"wandb: team/project: {sdk.url}"
    assert published(directory) == ["wandb: team/project: already published"]
    assert len(sdk.begun) == 1
    assert sdk.begun[0]["resume"] == "allow"


def test_a_run_that_was_recorded_offline_is_sent_online_later(
    made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes the same W&B run."""
    directory = made(write_prompts("one"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "kept on this machine" in published(directory)[-1]
    assert "already published" in published(directory)[-1]
    monkeypatch.setenv("WANDB_MODE", "online")
    assert sdk.url in published(directory)[-1]
    assert [each["mode"] for each in sdk.begun] == ["offline", "online"]
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_an_offline_recording_that_was_deleted_is_made_again(
    made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = made(write_prompts("one"))
    published(directory)
    (directory / "wandb").rename("away")
    assert "kept on this machine" in published(directory)[-1]
    assert [each["resume"] for each in sdk.begun] == [None, None], (
        "W&B would refuse to resume a run that it does not have"
    )


def test_a_second_offline_recording_resumes_the_first(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B appends it when both are sent, which one command does."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for prompts in (["one"], ["one", "two"]):
        directory = made(write_prompts(*prompts))
        assert published(directory)[-1].endswith(f"send it: wandb sync {directory}/wandb")
    assert [each["resume"] for each in sdk.begun] == [None, "must"]
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_each_server_has_its_own_run(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    published(directory)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert sdk.url in published(directory)[-1]
    assert sdk.begun[0]["id"] != sdk.begun[1]["id"]


def test_publishing_with_a_disabled_sdk_is_refused(made: Made, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(JobError, match="WANDB_MODE = disabled"):
        published(directory)
    assert sdk.begun == []


@pytest.mark.parametrize(
    ("directory", "name"),
    [("été runs #1", "t-runs-1-results"), ("日本", "results"), ("x" * 200, "x" * 120 + "-results")],
)
def test_an_artifact_has_a_name_that_w_and_b_accepts(made: Made, sdk: Sdk, directory: str, name: str) -> None:
    published(made(write_prompts("one"), directory))
    assert sdk.artifacts == [name]
    assert sdk.begun[0]["name"] == directory, "the display name is not changed"


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("stopped", 1), ("interrupted", 1)])
def test_w_and_b_gets_an_exit_code_for_finished_or_not(made: Made, sdk: Sdk, state: str, code: int) -> None:
    directory = made(write_prompts("one"))
    summary = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(summary | {"state": state}))
    published(directory)
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


def test_a_run_that_had_nothing_to_do_is_not_published_again(made: Made, sdk: Sdk) -> None:
    """A run with new rows is, as the same W&B run."""
    directory = made(write_prompts("one"))
    followed(directory)
    assert followed(directory, lambda: None) == ["wandb: team/project: already published"]
    assert len(sdk.begun) == 1
    followed(directory, lambda: made(write_prompts("one", "two")))
    assert len(sdk.begun) == 2
    assert sdk.begun[0]["id"] == sdk.begun[1]["id"]


def test_a_run_that_was_killed_is_published_with_all_its_answers(made: Made, sdk: Sdk) -> None:
    """It left no results: they are made from its checkpoint."""
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
def test_an_error_of_the_sdk_is_reported_with_a_cure(
    made: Made, sdk: Sdk, trouble: Exception, kind: type[Exception], message: str
) -> None:
    """A refused key has its own exit code, as elsewhere."""
    directory = made(write_prompts("one"))
    sdk.trouble = trouble
    with pytest.raises(kind, match=message):
        published(directory)
    sdk.trouble = None
    assert sdk.url in published(directory)[-1]


def test_the_config_has_the_job_and_no_signature() -> None:
    """A presigned URL opens its file for everyone who can read it."""
    job = Job(input=Input(path=("https://host/in.jsonl?X-Amz-Signature=SECRET", "other.jsonl")))
    published = config(job)
    assert published["input"]["path"] == ["https://host/in.jsonl?…", "other.jsonl"]
    assert "publish" not in published
