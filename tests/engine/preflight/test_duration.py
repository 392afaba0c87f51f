"""How long a job takes, by the endpoints of its models."""

from typing import Any

import pytest

from batchrun.engine.preflight.duration import Bounds, duration, time_range
from batchrun.engine.preflight.estimate import Asked, Forecast, Known, forecast
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Limits, Model

KNOWN = Known(answers=10_000, answer_tokens=20.0, latency_s=2.0)


def of(model: str, requests: int) -> Forecast:
    return forecast(model, Asked(requests, 10 * requests, 0, 0, 0), KNOWN, ())


def job(limits: Limits | None = None, /, **endpoints: Any) -> Job:
    """Return a job with endpoints: name → their models, or a table of their settings."""
    made = {
        name: Endpoint(base_url=f"http://127.0.0.1:{number}/v1", **(its if isinstance(its, dict) else {"models": its}))
        for number, (name, its) in enumerate(endpoints.items(), 1)
    }
    names = tuple(dict.fromkeys(model for each in made.values() for model in each.models or ()))
    return Job(input=Input(path=("a",)), model=Model(names=names), limits=limits or Limits(), endpoints=made)


def test_time_follows_from_requests_in_flight_and_is_bounded_by_the_rates() -> None:
    """Never more in flight than there are requests."""
    parts = [of("m", 600)]
    assert time_range(parts, Bounds(60)).likely == pytest.approx(20)
    assert time_range(parts, Bounds(6_000)).likely == pytest.approx(2)
    assert time_range(parts, Bounds(60, requests_per_minute=300)).likely == pytest.approx(120)
    assert time_range(parts, Bounds(60, tokens_per_minute=18_000)).likely == pytest.approx(60)


@pytest.mark.parametrize(
    ("made", "slots", "likely", "pace"),
    [
        (job(one=["x", "y"], two=["x", "y"]), (10, 90), 20, "with 100 in flight"),
        (job(one=["x"], two=["y"]), (10, 90), 180, "with 10 in flight at one"),
        (job(one=["x"], two=["x", "y"]), (10, 90), 20, "with 100 in flight"),
        (job(one=["x", "y"], two=["y"]), (10, 90), 180, "with 10 in flight at one"),
        (job(one=["x", "y"], two=["y"], three=["x"]), (10, 90, 20), 60, "with 30 in flight at one, three"),
        (job(Limits(max_concurrency=20), one=["x"], two=["y"]), (500, 500), 100, "with 20 in flight"),
        (job(one={"models": ["x"], "max_concurrency": 5}, two=["y"]), (10, 90), 360, "with 5 in flight at one"),
        (
            job(one={"models": ["x"], "requests_per_minute": 60}, two=["y"]),
            (90, 90),
            900,
            "at 60 requests per minute at one",
        ),
        (
            job(one={"models": ["x"], "requests_per_minute": 60}, two=["x", "y"]),
            (90, 90),
            1_000 * 2 / 180,
            "with 180 in flight",
        ),
    ],
)
def test_the_time_is_that_of_the_slowest_group_of_models(
    made: Job, slots: tuple[int, ...], likely: float, pace: str
) -> None:
    """A model cannot use the slots of an endpoint that does not serve it: here 900 requests of x, and 100 of y."""
    found = duration(made, [of("x", 900), of("y", 100)], dict(zip(made.endpoints, slots, strict=True)))
    assert found.seconds.likely == pytest.approx(likely)
    assert found.pace == pace


def test_no_more_are_in_flight_than_there_are_requests() -> None:
    """The endpoint would hold a thousand."""
    assert duration(job(one=["x"]), [of("x", 1)], {"one": 1_000}).pace == "with 1 in flight"
    assert duration(job(one=["x"]), [], {"one": 1_000}).pace == ""


def test_with_very_many_sets_of_endpoints_each_set_counts_and_all_of_them() -> None:
    """Groups between are not looked at: there are too many."""
    names = [f"m{number}" for number in range(20)]
    endpoints = {f"e{number}": [name] for number, name in enumerate(names)}
    made = job(**endpoints)
    slots = dict.fromkeys(endpoints, 10)
    found = duration(made, [of(name, 100 if name != "m7" else 500) for name in names], slots)
    assert found.seconds.likely == pytest.approx(100)
    assert found.pace == "with 10 in flight at e7"


def test_nothing_takes_no_time() -> None:
    assert duration(job(one=["x", "y"]), [], {"one": 10}).seconds.likely == 0
