"""What publishing does with an SDK's answers, with stand-ins for the SDKs. The real ones: tests/real."""

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
from batchrun.engine.execution import Options
from batchrun.errors import EndpointRefused, JobError, PublishError, RunDirectoryError
from batchrun.job.sections import Evaluate, Input, Model, Output, Publish
from batchrun.job.serialization import job_from_dict, job_to_dict
from batchrun.publish import requests
from batchrun.publish.ledger import alone
from batchrun.publish.process import Publication, publish
from batchrun.publish.weave import evaluations, session
from batchrun.publish.weave.session import Session

KEY = "0123456789" * 4
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b")


class HttpError(Exception):
    """As SDKs raise it: with the status."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the server said {status_code}.")
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
    """Every test has an empty home, a key, and leaves the environment as it was."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("BASE_URL", "CACHE_DIR", "DATA_DIR", "ERROR_REPORTING", "MODE", "SILENT"):
        monkeypatch.setenv(f"WANDB_{name}", "")
        monkeypatch.delenv(f"WANDB_{name}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)


@pytest.fixture
def weave(monkeypatch: pytest.MonkeyPatch) -> Weave:
    """The stand-in, where the SDK would be."""
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


def told(directory: Path, **where: Any) -> list[str]:
    """Publish to Weave; return what was said."""
    messages: list[str] = []
    publish(Publication(directory=directory, weave="team/project", **where), messages.append)
    return messages


def test_calls_are_sent_once_and_then_the_server_is_left_alone(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    assert "weave: team/project: 4 calls sent, 0 already published" in told(directory)
    assert weave.key == KEY
    assert "weave: team/project: 0 calls sent, 4 already published" in told(directory)
    assert weave.connected == 1


def test_what_was_sent_without_a_word_of_it_is_found_on_the_server(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    told(directory)
    (directory / "published.sqlite").unlink()
    assert "weave: team/project: 0 calls sent, 4 already published" in told(directory)


def test_calls_that_the_server_does_not_take_are_told_and_tried_again(weave: Weave) -> None:
    """The others are there, and so is what comes after them."""
    directory = made(write_prompts("one", "two", "three", "four"))
    weave.refuses = lambda batch: 413 if any("two" in json.dumps(call["inputs"]) for call in batch) else None
    with pytest.raises(PublishError, match=r"the server refused 2 calls \(the server said 413\)"):
        told(directory)
    assert (len(weave.calls), len(weave.published)) == (6, 3)
    with pytest.raises(PublishError, match="refused 2 calls"):
        told(directory)
    weave.refuses = lambda batch: None
    assert "weave: team/project: 2 calls sent, 6 already published" in told(directory)


def test_a_server_that_takes_no_call_is_asked_for_no_more(weave: Weave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BATCH", 2)
    directory = made(write_prompts(*map(str, range(10))))
    asked: list[Any] = []
    weave.refuses = lambda batch: asked.append(batch) or 400  # type: ignore[func-returns-value]
    with pytest.raises(PublishError, match="refused 2 calls"):
        told(directory)
    assert len(asked) == 3, "a batch, and each of its halves"
    assert len(weave.published) == 1, "of what the calls are"


def test_calls_of_which_the_input_does_not_say_what_they_asked_wait_for_it(weave: Weave) -> None:
    """They cannot be mended once they are there. All else is published."""
    path = Path(write_prompts("one", "two"))
    directory = made(str(path))
    path.rename("away")
    for _ in range(2):
        with pytest.raises(PublishError, match=r"4 calls are left out .*: in.jsonl: no such file; restore the input"):
            told(directory)
    assert weave.calls == {}
    assert [each.name for each in weave.published] == ["out-dataset", "out-results"]
    Path("away").rename(path)
    assert "weave: team/project: 4 calls sent, 0 already published" in told(directory)
    assert all(call["inputs"]["messages"] for call in weave.calls.values())


def test_an_edited_input_doubles_no_call(weave: Weave) -> None:
    told(made(write_prompts("one", "two")))
    assert "weave: team/project: 2 calls sent, 4 already published" in told(made(write_prompts("new", "one", "two")))


def test_calls_go_where_the_server_says_the_project_is(weave: Weave) -> None:
    weave.project_id = "Team/Project"
    told(made(write_prompts("one")))
    assert {call["project_id"] for call in weave.calls.values()} == {"Team/Project"}


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, EndpointRefused, r"the key may not write there \(HTTP 401\); check WANDB_API_KEY"),
        (403, EndpointRefused, r"the key may not write there \(HTTP 403\); check WANDB_API_KEY"),
        (503, PublishError, "the server said 503; .*publish it again"),
    ],
)
def test_what_the_server_refuses_as_a_whole_ends_it_with_a_cure(
    weave: Weave, status: int, kind: type[Exception], message: str
) -> None:
    directory = made(write_prompts("one"))
    weave.refuses = lambda batch: status
    with pytest.raises(kind, match=f"weave: team/project: {message}"):
        told(directory)
    weave.refuses = lambda batch: None
    assert "weave: team/project: 2 calls sent, 0 already published" in told(directory)


def test_a_disabled_sdk_is_an_error_not_a_publication(weave: Weave) -> None:
    weave.entity = "DISABLED"
    with pytest.raises(PublishError, match="disabled"):
        told(made(write_prompts("one")))


def test_without_scores_there_are_dataset_and_results(weave: Weave) -> None:
    messages = told(made(write_prompts("one", "two")))
    dataset, results = weave.published[1:]
    assert (dataset.name, [row["prompt"] for row in dataset.rows]) == ("out-dataset", ["one", "two"])
    assert (results.name, len(results.rows)) == ("out-results", 4)
    assert messages[-1] == "weave: team/project: published dataset and results of 2 input rows"


def test_of_wide_rows_there_are_fewer(weave: Weave, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may be held, and all that is shown is of the same."""
    monkeypatch.setattr(evaluations, "_MOST_BYTES", 40_000)
    monkeypatch.setattr(evaluations, "MOST_ROWS", 16)
    messages = told(made(write_prompts(*(f"{number} " + "x" * 2000 for number in range(20)))))
    dataset, results = weave.published[1:]
    assert (len(dataset.rows), len(results.rows)) == (4, 8)
    assert "of 4 input rows" in messages[-1]
    assert len(weave.calls) == 40


def test_a_run_with_rows_left_has_its_calls_published_and_no_evaluation(weave: Weave) -> None:
    directory = made(write_prompts("one", "two"))
    summary = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(summary | {"state": "stopped"}))
    assert "publish it again when it is" in told(directory)[-1]
    assert len(weave.calls) == 4
    assert len(weave.published) == 1


def test_what_the_sdk_only_logs_is_heard(weave: Weave) -> None:
    opened = Session(None, None, "team/project", print)  # type: ignore[arg-type]
    with pytest.raises(PublishError, match="a batch was dropped"), opened.heard():
        logging.getLogger("weave.trace").error("a batch was dropped")


def test_an_sdk_that_waits_for_ever_is_waited_for_no_longer(weave: Weave, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(session, "_FLUSH_S", 0.01)
    weave.flush = released.wait  # type: ignore[attr-defined]
    opened = Session(None, None, "team/project", print)  # type: ignore[arg-type]
    with pytest.raises(PublishError, match="no answer within"):
        opened.flush()
    released.set()


@pytest.mark.parametrize("system", ["weave", "wandb"])
def test_an_sdk_that_is_missing_is_named_with_its_extra(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, system, None)
    publication = Publication(directory=made(write_prompts("one")), **{system: "team/project"})
    with pytest.raises(JobError, match=f"pip install '{system}"):
        publish(publication, print)


def test_two_at_once_send_nothing_twice(weave: Weave) -> None:
    directory = made(write_prompts("one"))
    with alone(directory, "weave"), pytest.raises(RunDirectoryError, match="another process publishes it to weave"):
        told(directory)
    assert weave.connected == 0


def test_without_a_key_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(write_prompts("one"))
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(EndpointRefused, match=r"no key to publish with to https://api\.wandb\.ai: looked in WANDB"):
        told(directory)


def test_where_a_run_is_published_does_not_change_what_it_asks(weave: Weave) -> None:
    path = write_rows("in.jsonl", {"prompt": "one", "target": "x"})
    before = (made(path, evaluate=Evaluate(target="target")) / "run.json").read_text()
    job = Job(name="job", input=Input(path=(path,)), publish=Publish(weave="a/b", wandb="c/d"))
    assert job_from_dict(json.loads(json.dumps(job_to_dict(job)))) == job
    assert "publish" not in before
