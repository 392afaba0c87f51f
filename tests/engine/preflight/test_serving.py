"""Which endpoint is asked for which model, and models of endpoints that nothing asks for."""

from typing import Any

import pytest

from batchrun.engine.preflight.serving import idle_notes, served_by, unasked_notes
from batchrun.job.endpoint import Endpoint
from batchrun.job.judge import Judge
from batchrun.job.judging import judge_job
from batchrun.job.sections import Input, Job, Limits, Model


def at(port: int, models: Any = None) -> Endpoint:
    return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", models=models)


def job(*names: str, fallback: dict[str, str] | None = None, judge: str | None = None, **models: Any) -> Job:
    endpoints = {name: at(number, its) for number, (name, its) in enumerate(models.items(), 1)}
    model = Model(names=names, fallback=fallback or {})
    return Job(input=Input(path=("a",)), model=model, judge=Judge(model=judge), endpoints=endpoints)


def test_each_model_and_fallback_has_its_endpoints_with_its_name_there() -> None:
    made = job("big", "small", fallback={"big": "huge"}, one={"big": "org/big"}, two=None, three=["big", "huge"])
    assert served_by(made, ["big", "small"]) == {
        "big": {"one": "org/big", "three": "big"},
        "small": {"two": "small"},
        "huge": {"three": "huge"},
    }
    assert served_by(Job(input=Input(path=("a",)), endpoint=at(1)), ["m"]) == {}


@pytest.mark.parametrize(
    ("made", "rows", "notes"),
    [
        (
            job("llama-8b", one=["lama-8b"], two=None),
            [],
            ['endpoints.one.models: no row and no setting asks for "lama-8b"; did you mean llama-8b?'],
        ),
        (
            job(one=["a", "b"], two=None),
            ["a", "zz"],
            ['endpoints.one.models: no row and no setting asks for "b"'],
        ),
        (job("a", fallback={"a": "b"}, judge="c", one=["a", "b", "c"], two=None), ["a"], []),
        (
            Job(input=Input(path=("a",)), endpoint=at(1, ["a", "b"])),
            ["a"],
            ['endpoint.models: no row and no setting asks for "b"'],
        ),
        (judge_job(job("a", judge="c", one=["a", "c"], two=None)), ["c"], []),
    ],
)
def test_a_model_that_nothing_asks_for_is_named(made: Job, rows: list[str], notes: list[str]) -> None:
    """With the name that it may have been meant to be; the models of a judge's endpoints are those of the job."""
    assert unasked_notes(made, rows) == notes


def test_limits_of_an_endpoint_above_those_of_all_are_named() -> None:
    """They have no effect; those below them do."""
    own = {"max_concurrency": 200, "requests_per_minute": 60}
    endpoints = {"one": Endpoint(base_url="http://127.0.0.1:1/v1", **own), "two": at(2)}  # type: ignore[arg-type]
    limits = Limits(max_concurrency=100, requests_per_minute=600)
    made = Job(input=Input(path=("a",)), model=Model(name="m"), limits=limits, endpoints=endpoints)
    assert idle_notes(made) == [
        "endpoints.one.max_concurrency = 200 has no effect: limits.max_concurrency = 100 holds for all together"
    ]
    assert idle_notes(Job(input=Input(path=("a",)), endpoint=at(1))) == []
