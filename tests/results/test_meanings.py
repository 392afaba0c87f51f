"""What the name of an endpoint has meant over the executions of a run."""

from typing import Any

import pytest

from batchrun.checkpoint.facts import Fact
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model
from batchrun.results.meanings import NO_MEANINGS, is_now, meanings_of, place_of, stored_names, with_job

EAST, WEST = "https://east.example.com/v1", "https://west.example.com/v1"


def job(url: str, models: dict[str, str] | None = None, name: str = "a") -> Job:
    endpoints = {name: Endpoint(base_url=url, models=models)}
    return Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)), endpoints=endpoints)


class Recorded:
    def __init__(self, **known: Any) -> None:
        self.known = known

    def fact(self, fact: Fact[Any]) -> Any:
        return self.known.get(fact.name)


def after(*jobs: Job) -> Any:
    meanings = NO_MEANINGS
    for each in jobs:
        meanings = with_job(meanings, each)
    return meanings


@pytest.mark.parametrize("other", [job(WEST), job(EAST, {"m": "m-v2"})])
def test_another_place_of_a_name_gets_a_number_and_keeps_it(other: Job) -> None:
    """Also when the name stands for the first one again in between."""
    first = job(EAST)
    meanings = after(first, other, first, other)
    assert (stored_names(meanings, first), stored_names(meanings, other)) == ({}, {"a": "a [2]"})
    assert [is_now(meanings, name, first) for name in ("a", "a [2]", "a (batch)", "a [2] (batch)")] == [1, 0, 1, 0]
    assert [is_now(meanings, name, other) for name in ("a", "a [2]", "a (batch)", "a [2] (batch)")] == [0, 1, 0, 1]
    assert place_of(meanings, "a") == (EAST, {})
    assert place_of(meanings, "a [2]") == (
        other.endpoints["a"].base_url,
        {"m": "m-v2"} if other.endpoints["a"].models else {},
    )


@pytest.mark.parametrize("same", [job(f"{EAST}/"), job(EAST, {"m": "m", "n": "n"}), job(f"{EAST[:24]}:443/v1")])
def test_the_same_place_stays_the_same(same: Job) -> None:
    """Whatever models it is asked for, and however its URL is spelled."""
    assert stored_names(after(job(EAST), same), same) == {}


def test_of_an_endpoint_that_is_not_in_the_job_nothing_is_now() -> None:
    assert not is_now(after(job(EAST)), "a", job(EAST, name="b"))
    assert place_of(NO_MEANINGS, "a") is None


def test_a_run_of_an_older_version_tells_a_place_where_there_was_one() -> None:
    """Of several, nobody knows which one has answered: then a price of now counts, as it did."""
    one = meanings_of(Recorded(named={"a": [[EAST, None], [f"{EAST}/", {"m": "m"}]]}))
    assert place_of(one, "a") == (EAST, {})
    several = meanings_of(Recorded(named={"a": [[EAST, None], [WEST, None]]}))
    assert place_of(several, "a") is None
    assert is_now(several, "a", job(EAST))
    assert stored_names(with_job(several, job(EAST)), job(EAST)) == {"a": "a [2]"}


def test_a_simulator_has_no_place() -> None:
    assert meanings_of(Recorded(simulated=True, meant={"a": [[EAST, {}]]})) == NO_MEANINGS
