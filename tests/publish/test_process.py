"""How publishing handles the replies of an SDK, with stand-ins; tests/real uses the real SDKs."""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from harness.prompts import write_prompts, write_rows

from batchrun import Job, run
from batchrun.engine.options import Options
from batchrun.errors import EndpointRefused, JobError, PublishError, RunDirectoryError
from batchrun.job.evaluate import Evaluate
from batchrun.job.sections import Input, Model, Output, Publish
from batchrun.job.serialization import job_from_dict, job_to_dict
from batchrun.publish import requests
from batchrun.publish.ledger import alone
from batchrun.publish.process import Publication, publish
from batchrun.publish.weave import evaluations, session
from batchrun.publish.weave.session import Session

KEY = "0123456789" * 4
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b")


class HttpError(Exception):
    """An error as SDKs raise it, with the status."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the server returned {status_code}.")
        self.status_code = status_code


class Weave:
    """A stand-in for Weave's SDK and its server."""

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}
        self.published: list[Any] = []
        self.connected = 0
        self.refuses: Callable[[list[Any]], int | None] = lambda batch: None
        self.entity = "team"
        self.project_id = "team/project"
        self.key = ""
        self.server = self

    def init(self, project: str, settings: dict[str, Any]) -> "Weave":
        self.connected += 1
        self.key = os.environ["WANDB_API_KEY"]
        return self

    def op(self, function: Any, **settings: Any) -> Any:
        return function

    def publish(self, what: Any) -> Any:
        self.published.append(what)
        return SimpleNamespace(uri=f"weave:///{getattr(what, 'name', 'op')}")

    def Dataset(self, **fields: Any) -> Any:  # noqa: N802  # as the SDK has it
        return SimpleNamespace(**fields)

    def calls_query_stream(self, asked: Any) -> Any:
        return [SimpleNamespace(id=name) for name in asked["filter"]["call_ids"] if name in self.calls]

    def calls_complete(self, sent: Any) -> None:
        if status := self.refuses(sent["batch"]):
            raise HttpError(status)
        json.dumps(sent)
        for call in sent["batch"]:
            assert call["id"] not in self.calls
            self.calls[call["id"]] = call


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty home and a key, and restore the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("BASE_URL", "CACHE_DIR", "DATA_DIR", "ERROR_REPORTING", "MODE", "SILENT"):
        monkeypatch.setenv(f"WANDB_{name}", "")
        monkeypatch.delenv(f"WANDB_{name}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)


@pytest.fixture
def weave(monkeypatch: pytest.MonkeyPatch) -> Weave:
    """Put the stand-in in the place of the SDK."""
    weave = Weave()
    monkeypatch.setitem(sys.modules, "weave", weave)
    place = ModuleType("weave.trace.env")
    place.weave_trace_server_url = lambda: "http://here"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "weave.trace.env", place)
    monkeypatch.setitem(sys.modules, "weave.trace.init_message", ModuleType("weave.trace.init_message"))
    return weave


def made(path: str, directory: str = "out", **sections: Any) -> Path:
    """Run a file of prompts with two models; return the run directory."""
    settings = {"model": Model(names=MODELS), **sections}
    run(Job(name="job", input=Input(path=(path,)), output=Output(dir=directory), **settings), Options(simulate=True))
    return Path(directory)


def published(directory: Path, **where: Any) -> list[str]:
    """Publish to Weave; return the messages."""
    messages: list[str] = []
    publish(Publication(directory=directory, weave="team/project", **where), messages.append)
    return messages


def test_calls_are_sent_once_and_then_no_request_is_made(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    assert "weave: team/project: 4 calls sent, 0 already published" in published(directory)
    assert weave.key == KEY
    assert "weave: team/project: 0 calls sent, 4 already published" in published(directory)
    assert weave.connected == 1


def test_calls_that_were_sent_but_not_recorded_are_found_on_the_server(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    published(directory)
    (directory / "published.sqlite").unlink()
    assert "weave: team/project: 0 calls sent, 4 already published" in published(directory)


def test_calls_that_the_server_refuses_are_reported_and_tried_again(weave: Weave) -> None:
    """The other calls are sent, and so are the later steps."""
    directory = made(write_prompts("one", "two", "three", "four"))
    weave.refuses = lambda batch: 413 if any("two" in json.dumps(call["inputs"]) for call in batch) else None
    with pytest.raises(PublishError, match=r"the server refused 2 calls \(the server returned 413\)"):
        published(directory)
    assert (len(weave.calls), len(weave.published)) == (6, 3)
    with pytest.raises(PublishError, match="refused 2 calls"):
        published(directory)
    weave.refuses = lambda batch: None
    assert "weave: team/project: 2 calls sent, 6 already published" in published(directory)


def test_a_server_that_refuses_every_call_gets_no_further_batches(
    weave: Weave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BATCH", 2)
    directory = made(write_prompts(*map(str, range(10))))
    asked: list[Any] = []
    weave.refuses = lambda batch: asked.append(batch) or 400  # type: ignore[func-returns-value]
    with pytest.raises(PublishError, match="refused 2 calls"):
        published(directory)
    assert len(asked) == 3, "one batch, then each of its halves"
    assert len(weave.published) == 1, "the definition of the operation"


def test_calls_whose_prompts_are_missing_wait_until_the_input_is_back(weave: Weave) -> None:
    """A published call cannot be changed, so it must be complete. Everything else is published."""
    path = Path(write_prompts("one", "two"))
    directory = made(str(path))
    path.rename("away")
    for _ in range(2):
        with pytest.raises(PublishError, match=r"4 calls left out .*: in.jsonl: no such file; restore the input"):
            published(directory)
    assert weave.calls == {}
    assert [each.name for each in weave.published] == ["out-dataset", "out-results"]
    Path("away").rename(path)
    assert "weave: team/project: 4 calls sent, 0 already published" in published(directory)
    assert all(call["inputs"]["messages"] for call in weave.calls.values())


def test_an_edited_input_publishes_no_call_twice(weave: Weave) -> None:
    published(made(write_prompts("one", "two")))
    assert "weave: team/project: 2 calls sent, 4 already published" in published(
        made(write_prompts("new", "one", "two"))
    )


def test_calls_go_to_the_project_name_that_the_server_returns(weave: Weave) -> None:
    weave.project_id = "Team/Project"
    published(made(write_prompts("one")))
    assert {call["project_id"] for call in weave.calls.values()} == {"Team/Project"}


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, EndpointRefused, r"the key may not write there \(HTTP 401\); check WANDB_API_KEY"),
        (403, EndpointRefused, r"the key may not write there \(HTTP 403\); check WANDB_API_KEY"),
        (503, PublishError, "the server returned 503; .*publish it again"),
    ],
)
def test_a_refusal_of_everything_ends_publishing_with_a_cure(
    weave: Weave, status: int, kind: type[Exception], message: str
) -> None:
    directory = made(write_prompts("one"))
    weave.refuses = lambda batch: status
    with pytest.raises(kind, match=f"weave: team/project: {message}"):
        published(directory)
    weave.refuses = lambda batch: None
    assert "weave: team/project: 2 calls sent, 0 already published" in published(directory)


def test_a_disabled_sdk_is_an_error_not_a_publication(weave: Weave) -> None:
    weave.entity = "DISABLED"
    with pytest.raises(PublishError, match="disabled"):
        published(made(write_prompts("one")))


def test_without_scores_dataset_and_results_are_published(weave: Weave) -> None:
    messages = published(made(write_prompts("one", "two")))
    dataset, results = weave.published[1:]
    assert (dataset.name, [row["prompt"] for row in dataset.rows]) == ("out-dataset", ["one", "two"])
    assert (results.name, len(results.rows)) == ("out-results", 4)
    assert messages[-1] == "weave: team/project: published dataset and results of 2 input rows"


def test_fewer_rows_are_published_when_they_are_large(weave: Weave, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit the limit; dataset and results have the same rows."""
    monkeypatch.setattr(evaluations, "_MOST_BYTES", 40_000)
    monkeypatch.setattr(evaluations, "MOST_ROWS", 16)
    messages = published(made(write_prompts(*(f"{number} " + "x" * 2000 for number in range(20)))))
    dataset, results = weave.published[1:]
    assert (len(dataset.rows), len(results.rows)) == (4, 8)
    assert "of 4 input rows" in messages[-1]
    assert len(weave.calls) == 40


def test_an_unfinished_run_publishes_its_calls_but_no_evaluation(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    summary = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(summary | {"state": "stopped"}))
    assert "publish it again when it is" in published(directory)[-1]
    assert len(weave.calls) == 4
    assert len(weave.published) == 1


def test_an_error_that_the_sdk_only_logs_is_reported(weave: Weave) -> None:
    opened = Session(None, None, "team/project", print)  # type: ignore[arg-type]
    with pytest.raises(PublishError, match="a batch was dropped"), opened.heard():
        logging.getLogger("weave.trace").error("a batch was dropped")


def test_an_sdk_that_hangs_is_given_up_after_a_time(weave: Weave, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(session, "_FLUSH_S", 0.01)
    weave.flush = released.wait  # type: ignore[attr-defined]
    opened = Session(None, None, "team/project", print)  # type: ignore[arg-type]
    with pytest.raises(PublishError, match="no answer within"):
        opened.flush()
    released.set()


@pytest.mark.parametrize("system", ["weave", "wandb"])
def test_a_missing_sdk_is_reported_with_its_extra(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, system, None)
    publication = Publication(directory=made(write_prompts("one")), **{system: "team/project"})
    with pytest.raises(JobError, match=f"pip install '{system}"):
        publish(publication, print)


def test_two_processes_at_once_send_nothing_twice(weave: Weave) -> None:
    directory = made(write_prompts("one"))
    with alone(directory, "weave"), pytest.raises(RunDirectoryError, match="another process publishes it to weave"):
        published(directory)
    assert weave.connected == 0


def test_without_a_key_publishing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(EndpointRefused, match=r"no key to publish with to https://api\.wandb\.ai: looked in WANDB"):
        published(directory)


def test_the_publish_section_is_part_of_the_job_but_not_of_the_summary(weave: Weave) -> None:
    path = write_rows("in.jsonl", {"prompt": "one", "target": "x"})
    before = (made(path, evaluate=Evaluate(target="target")) / "run.json").read_text()
    job = Job(name="job", input=Input(path=(path,)), publish=Publish(weave="a/b", wandb="c/d"))
    assert job_from_dict(json.loads(json.dumps(job_to_dict(job)))) == job
    assert "publish" not in before
