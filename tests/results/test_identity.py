"""What identifies the job, the input and the endpoint of a run directory."""

import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import write_prompts

from batchrun import __version__
from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact, Origin
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.job.sections import Endpoint, Input, Job, Limits, Model, Output, PromptTemplates, Response
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.input.files import InputFile, find_files
from batchrun.results.identity import (
    agreement_of,
    earlier_endpoints,
    has_changed,
    may_be_other_input,
    note_requests,
    note_start,
    origin_of,
)

ORIGIN: Origin = {"job": "j", "input": "i", "limit": None}
A, B = "https://a.example/v1", "https://b.example/v1"


class Recorded:
    """Facts in memory."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def fact(self, fact: Fact[Any]) -> Any:
        """Return a fact."""
        return self.known.get(fact.name)

    def set_fact(self, fact: Fact[Any], value: Any) -> None:
        """Keep a fact."""
        self.known[fact.name] = value


def job(base_url: str = A, **sections: Any) -> Job:
    """Return a job; sections as `name={...}`."""
    kinds = {"input": Input, "model": Model, "prompt": PromptTemplates, "response": Response, "output": Output}
    made: dict[str, Any] = {name: kinds[name](**values) for name, values in sections.items()}
    return Job(**{"input": Input(path=("in.jsonl",)), "endpoint": Endpoint(base_url=base_url)} | made)


@pytest.fixture
def files(tmp_path: Path) -> list[InputFile]:
    """An input."""
    return find_files([write_prompts("a", "b", path=str(tmp_path / "in.jsonl"))])


@pytest.mark.parametrize(
    ("sections", "is_same"),
    [
        ({}, True),
        ({"output": {"dir": "elsewhere"}}, True),
        ({"input": {"path": ("in.jsonl",), "dedupe": True}}, True),
        ({"model": {"max_tokens": 5}}, False),
        ({"model": {"names": ("m",)}}, False),
        ({"prompt": {"user": "{{ x }}"}}, False),
        ({"input": {"path": ("in.jsonl",), "id": "x"}}, False),
        ({"response": {"schema": {"type": "object"}}}, False),
        ({"response": {"mode": "none"}}, False),
    ],
)
def test_a_job_is_the_same_where_its_requests_are(
    files: list[InputFile], sections: dict[str, Any], is_same: bool
) -> None:
    """Whatever else is in it."""
    assert (origin_of(job(), files) == origin_of(job(**sections), files)) is is_same


def test_another_endpoint_is_sent_the_same_requests(files: list[InputFile]) -> None:
    """So its answers stay; `endpoints` tells who gave them."""
    assert origin_of(job(A), files) == origin_of(job(B), files)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, False),
        ({}, {"job": "other"}, True),
        ({}, {"input": "other"}, True),
        ({"limit": 5}, {"limit": 6}, False),
        ({"limit": 5}, {"limit": None}, False),
        ({"limit": 5}, {"limit": 4}, True),
        ({}, {"limit": 4}, True),
    ],
)
def test_more_rows_of_the_same_input_change_nothing(before: Any, now: Any, expected: bool) -> None:
    """Fewer do: rows leave the results."""
    assert has_changed({**ORIGIN, **before}, {**ORIGIN, **now}) is expected


def test_recorded_requests_are_known_by_their_job_their_origin_and_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a row that did not fit is forgotten: all were looked at since."""
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path) as store:
        store.set_fact(facts.MISMATCH, 3)
        note_requests(store, job(), ORIGIN)
    with Checkpoint(tmp_path) as checkpoint:
        noted = [
            checkpoint.fact(each) for each in (facts.JOB, facts.VERSION, facts.ORIGIN, facts.FOLDER, facts.MISMATCH)
        ]
    assert noted == [orjson.loads(orjson.dumps(job_to_dict(job()))), __version__, ORIGIN, str(tmp_path), None]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({}, True, id="a salvaged directory"),
        pytest.param({"asked": ORIGIN}, True, id="other files"),
        pytest.param({"asked": {**ORIGIN, "input": ""}}, False, id="standard input"),
        pytest.param({"asked": {**ORIGIN, "input": ""}, "mismatch": 3}, True, id="a row that did not fit"),
    ],
)
def test_input_is_the_same_only_if_its_fingerprint_is(
    files: list[InputFile], known: dict[str, Any], expected: bool
) -> None:
    """A row that did not fit proves that it is not."""
    assert may_be_other_input(Recorded(**known), files) is expected
    own = Recorded(asked=origin_of(job(), files))
    assert may_be_other_input(own, files) is False


@pytest.mark.parametrize(
    ("settings", "is_same"),
    [
        ({"max_cost_usd": 1.0}, True),
        ({"max_cost_usd": 1.0, "patience_s": 5.0}, True),
        ({"max_cost_usd": 2.0}, False),
        ({"max_cost_usd": 1.0, "max_tokens_total": 5}, False),
    ],
)
def test_who_has_agreed_to_a_cap_is_asked_about_another_only(
    files: list[InputFile], settings: dict[str, Any], is_same: bool
) -> None:
    """What is agreed to are the caps, for these files and as many answers to each row."""
    before = agreement_of(dataclasses.replace(job(), limits=Limits(max_cost_usd=1.0)), files)
    now = dataclasses.replace(job(), limits=Limits(**settings))
    assert (agreement_of(now, files) == before) is is_same
    assert agreement_of(dataclasses.replace(now, model=Model(num_samples=2)), files) != before
    assert agreement_of(now, []) != before


@pytest.mark.parametrize(
    ("known", "endpoints"),
    [
        pytest.param({}, [], id="nothing was sent"),
        pytest.param({"endpoints": [B, A]}, [B, A], id="two"),
        pytest.param({"job": {"endpoint": {"base_url": B}}}, [B], id="an older version recorded the job alone"),
        pytest.param({"job": {"endpoint": {"base_url": B}}, "simulated": True}, [], id="the simulator answered"),
        pytest.param({"job": {}}, [], id="a job without an endpoint"),
    ],
)
def test_the_endpoints_that_have_answered_are_known(known: dict[str, Any], endpoints: list[str]) -> None:
    """The latest is the last."""
    assert earlier_endpoints(Recorded(**known)) == endpoints


@pytest.mark.parametrize(
    ("known", "settings", "endpoints"),
    [
        pytest.param({}, {}, [A], id="the first"),
        pytest.param({"endpoints": [A]}, {}, [A], id="the same again"),
        pytest.param({"endpoints": [B]}, {}, [B, A], id="a second"),
        pytest.param({"endpoints": [A, B]}, {}, [B, A], id="back to the first"),
        pytest.param({"endpoints": [B]}, {"has_answers": False}, [A], id="the other has answered nothing"),
        pytest.param({"endpoints": [B]}, {"is_simulated": True}, [B], id="the simulator"),
    ],
)
def test_the_endpoint_that_answers_now_is_recorded_last(
    known: dict[str, Any], settings: dict[str, Any], endpoints: list[str]
) -> None:
    """Those that have answered before stay."""
    recorded = Recorded(**known)
    note_start(recorded, job(A), **{"is_simulated": False, "has_answers": True} | settings)
    assert recorded.known["endpoints"] == endpoints


def test_a_directory_keeps_its_name_in_other_systems() -> None:
    """It is made once."""
    recorded = Recorded()
    note_start(recorded, job(), is_simulated=False, has_answers=False)
    first = recorded.known["identity"]
    note_start(recorded, dataclasses.replace(job(), name="other"), is_simulated=False, has_answers=False)
    assert recorded.known["identity"] == first != ""
