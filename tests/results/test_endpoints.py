"""Which endpoints have answered rows of a run directory."""

from typing import Any

import pytest

from batchrun.checkpoint.facts import Fact
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job
from batchrun.results.endpoints import (
    answering_endpoints,
    earlier_endpoints,
    is_known_endpoint,
    is_same_endpoint,
    only_endpoint,
)

A, B = "https://a.example/v1", "https://b.example/v1"


class Recorded:
    """Facts in memory."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def fact(self, fact: Fact[Any]) -> Any:
        """Return a fact."""
        return self.known.get(fact.name)


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
def test_all_endpoints_that_have_answered_are_known(known: dict[str, Any], endpoints: list[str]) -> None:
    """The latest one comes last."""
    assert earlier_endpoints(Recorded(**known)) == endpoints


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://a.example/v1", "https://a.example:443/v1", True),
        ("http://a.example:80/v1", "http://a.example/v1", True),
        ("https://A.Example/v1/", "https://a.example/v1", True),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/", True),
        ("https://a.example/v1", "http://a.example/v1", False),
        ("https://a.example/v1", "https://a.example:8443/v1", False),
        ("https://a.example/v1", "https://a.example/v2", False),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8001/v1", False),
    ],
)
def test_an_endpoint_is_known_by_its_base_url_however_it_is_written(one: str, other: str, is_same: bool) -> None:
    """The port of the scheme, a slash at the end, and the case of the host mean nothing."""
    assert is_same_endpoint(one, other) is is_same
    job = Job(input=Input(path=("in.jsonl",)), endpoint=Endpoint(base_url=other, allow_http=True))
    assert is_known_endpoint(Recorded(endpoints=[B, one]), job) is is_same
    assert is_known_endpoint(Recorded(), job)


def test_an_endpoint_that_was_tried_and_never_answered_is_not_named_as_one_that_did() -> None:
    """An older version noted only where requests were sent."""
    assert answering_endpoints(Recorded(endpoints=[A, B], answered={f"{A}#project=t%2Fp": ["m"]})) == [A]
    assert answering_endpoints(Recorded(endpoints=[A, B], answered={A: ["m"]})) == [A]
    assert answering_endpoints(Recorded(endpoints=[A, B])) == [A, B]


@pytest.mark.parametrize(
    ("known", "host"),
    [
        ({}, None),
        ({"unnamed": [A], "endpoints": [B, A]}, "a.example"),
        ({"unnamed": ["http://user@a.example:8000/v1"]}, "a.example:8000"),
        ({"unnamed": [A, B]}, None),
        ({"unnamed": [], "endpoints": [A]}, None),
        ({"endpoints": [B]}, "b.example"),
        ({"unnamed": [A], "simulated": True}, "simulator"),
    ],
    ids=["nothing", "one", "a port", "two", "all have names", "an older version", "simulated"],
)
def test_answers_without_an_endpoint_s_name_come_from_the_only_one(known: dict[str, Any], host: str | None) -> None:
    """Where two have answered, it is not known which of them answered a row."""
    assert only_endpoint(Recorded(**known)) == host
