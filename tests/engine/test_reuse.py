"""Whose answers count for which endpoint of a job."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pytest

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact
from batchrun.engine.namesakes import Namesakes, all_names, endpoints_of, possible_models, unclear_endpoints
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model
from batchrun.job.serialization import job_to_dict
from batchrun.records import AnswerSource
from batchrun.results.identity import note_requests, note_start

T = TypeVar("T")

EAST, WEST = "https://east.example/v1", "https://west.example/v1"


def job(endpoints: Mapping[str, Endpoint] | None = None, endpoint: Endpoint | None = None) -> Job:
    its = {"endpoint": endpoint} if endpoint else {"endpoints": endpoints}
    return Job(input=Input(path="in.jsonl"), model=Model(name="m"), **its)  # type: ignore[arg-type]  # one of both


class Recorded:
    """The facts of another run."""

    def __init__(self, job: Job, *urls: str) -> None:
        self._facts: dict[str, Any] = {facts.JOB.name: job_to_dict(job), facts.ENDPOINTS.name: list(urls)}

    def fact(self, fact: Fact[T]) -> T | None:
        """Return a fact."""
        value: T | None = self._facts.get(fact.name)
        return value

    def set_fact(self, fact: Fact[T], value: T | None) -> None:
        """Record a fact."""
        self._facts[fact.name] = value


ONE = job(endpoint=Endpoint(base_url=EAST))
TWO = job({"e": Endpoint(base_url=EAST), "w": Endpoint(base_url=WEST)})
RENAMED = job(endpoint=Endpoint(base_url=EAST, models={"m": "large"}))


@pytest.mark.parametrize(
    ("theirs", "urls", "source", "ours", "name"),
    [
        (ONE, [EAST], AnswerSource("m"), ONE, ""),
        (ONE, [f"{EAST}/"], AnswerSource("m"), ONE, ""),
        (ONE, [EAST], AnswerSource("m"), TWO, "e"),
        (TWO, [EAST, WEST], AnswerSource("m", "e"), ONE, ""),
        (TWO, [EAST, WEST], AnswerSource("m", "w"), TWO, "w"),
        (TWO, [EAST, WEST], AnswerSource("m", "w"), ONE, None),
        (TWO, [EAST, WEST], AnswerSource("m", "gone"), TWO, None),
        (ONE, [WEST, EAST], AnswerSource("m"), ONE, None),
        (ONE, [], AnswerSource("m"), ONE, None),
        (ONE, [EAST], AnswerSource("m", answered_by="spare"), ONE, None),
        (RENAMED, [EAST], AnswerSource("m"), RENAMED, ""),
        (RENAMED, [EAST], AnswerSource("m"), ONE, None),
        (ONE, [EAST], AnswerSource("m"), RENAMED, None),
        (ONE, [EAST], AnswerSource("unserved"), RENAMED, None),
    ],
)
def test_an_answer_counts_for_an_endpoint_of_the_same_url_where_the_model_is_the_same(
    theirs: Job, urls: list[str], source: AnswerSource, ours: Job, name: str | None
) -> None:
    """Names of endpoints are each job's own. Where two endpoints may have answered, both must count."""
    assert endpoints_of(Recorded(theirs, *urls), ours, simulated=False)(source.model, source) == name


def executed(*jobs: Job) -> Recorded:
    """Return what a run records that was these jobs, one after the other."""
    recorded = Recorded(jobs[0])
    for number, each in enumerate(jobs):
        note_start(recorded, each, is_simulated=False, has_answers=number > 0)
        note_requests(recorded, each, {"job": "", "input": "", "limit": None}, {})
    return recorded


@pytest.mark.parametrize(
    ("before", "since", "source", "ours", "name"),
    [
        ({"e": EAST, "w": WEST}, {"east": EAST, "w": WEST}, AnswerSource("m", "e"), TWO, "e"),
        ({"e": EAST, "w": WEST}, {"east": EAST, "w": WEST}, AnswerSource("m", "east"), TWO, "e"),
        ({"e": EAST, "w": WEST}, {"e": WEST, "w": EAST}, AnswerSource("m", "e"), TWO, "e"),
        ({"e": EAST, "w": WEST}, {"e": WEST, "w": EAST}, AnswerSource("m", "e [2]"), TWO, "w"),
        ({"e": EAST, "w": WEST}, {"w": WEST}, AnswerSource("m", "e"), ONE, ""),  # it is no longer in the job
        ({"": EAST}, {"e": EAST, "w": WEST}, AnswerSource("m"), ONE, ""),
        ({"": EAST}, {"": WEST}, AnswerSource("m"), ONE, ""),
        ({"": EAST}, {"": WEST}, AnswerSource("m", " [2]"), ONE, None),
    ],
)
def test_an_answer_counts_whatever_its_endpoint_was_called_since(
    before: dict[str, str], since: dict[str, str], source: AnswerSource, ours: Job, name: str | None
) -> None:
    """Base URL and model are compared as they were when the answer was given."""
    jobs = [
        job(endpoint=Endpoint(base_url=its[""]))
        if "" in its
        else job({name: Endpoint(base_url=url) for name, url in its.items()})
        for its in (before, since)
    ]
    assert endpoints_of(executed(*jobs), ours, simulated=False)(source.model, source) == name


def test_a_run_of_an_older_version_tells_the_names_of_its_last_job() -> None:
    """Its next execution renames an endpoint: what was answered before still counts."""
    recorded = Recorded(TWO, EAST, WEST)
    note_start(recorded, job({"other": Endpoint(base_url=EAST)}), is_simulated=False, has_answers=True)
    assert endpoints_of(recorded, TWO, simulated=False)("m", AnswerSource("m", "e")) == "e"


def test_of_simulated_answers_no_endpoint_is_asked() -> None:
    """There is none."""
    assert endpoints_of(Recorded(ONE), ONE, simulated=True)("m", AnswerSource("m")) == ""
    assert endpoints_of(Recorded(ONE), TWO, simulated=True)("m", AnswerSource("m")) == "e"


def named(*models: str, **endpoints: Endpoint) -> Job:
    return Job(input=Input(path="in.jsonl"), model=Model(names=models), endpoints=endpoints)


def namesakes(ours: Job, theirs: Job, *sources: AnswerSource) -> Namesakes:
    """Return which models of a job the answers of a run count for."""
    run = executed(theirs)
    models = possible_models(ours, [run], sources)
    return Namesakes(models, sources, endpoints_of(run, ours, simulated=False))


MINE = named("mine", e=Endpoint(base_url=EAST, models={"mine": "m"}))
PLAIN = named("m", e=Endpoint(base_url=EAST))
BOTH = named("a", "b", e=Endpoint(base_url=EAST, models={"a": "m", "b": "m"}))
UNNAMED = named(e=Endpoint(base_url=EAST))


@pytest.mark.parametrize(
    ("ours", "theirs", "source", "names"),
    [
        (PLAIN, PLAIN, AnswerSource("m", "e"), {}),
        (MINE, PLAIN, AnswerSource("m", "e"), {"mine": {"mine", "m"}}),
        (PLAIN, MINE, AnswerSource("mine", "e"), {"m": {"mine", "m"}}),
        (UNNAMED, MINE, AnswerSource("mine", "e"), {"m": {"mine", "m"}}),  # its rows name their models
        (BOTH, PLAIN, AnswerSource("m", "e"), {"a": {"a", "b", "m"}, "b": {"a", "b", "m"}}),
        (named("m", w=Endpoint(base_url=WEST)), MINE, AnswerSource("mine", "e"), {}),
        (named("n", e=Endpoint(base_url=EAST)), MINE, AnswerSource("mine", "e"), {}),
    ],
)
def test_a_model_goes_by_all_names_that_jobs_give_to_it(
    ours: Job, theirs: Job, source: AnswerSource, names: dict[str, set[str]]
) -> None:
    """Its keys are looked for under all of them; where it has only one, nothing is done."""
    assert all_names([namesakes(ours, theirs, source)]) == names


def test_a_name_of_two_models_counts_for_the_one_at_its_own_endpoint() -> None:
    """Each endpoint may know another model by the same name."""
    theirs = named(
        "x", e=Endpoint(base_url=EAST, models={"x": "one"}), w=Endpoint(base_url=WEST, models={"x": "other"})
    )
    ours = named("one", "other", e=Endpoint(base_url=EAST), w=Endpoint(base_url=WEST))
    east, west = AnswerSource("x", "e"), AnswerSource("x", "w")
    found = namesakes(ours, theirs, east, west)
    assert found.group_of(east) == found.group_of_model("one") != found.group_of_model("other")
    assert found.group_of(west) == found.group_of_model("other") is not None
    assert all(rank == 1 for *_, rank in found.ranked({4: "one", 7: "other"}))


def test_two_names_of_one_model_are_one_group() -> None:
    """They ask for different answers of it."""
    found = namesakes(BOTH, PLAIN, AnswerSource("m", "e"))
    assert found.ranked({0: "b", 1: "a", 2: "another"}) == [(0, 0, 2), (1, 0, 1)]
    assert found.group_of(AnswerSource("another", "e")) is None


@pytest.mark.parametrize(
    ("urls", "ours", "names"),
    [([WEST, EAST], ONE, [""]), ([EAST], ONE, []), ([WEST, WEST + "/other"], ONE, []), ([WEST, EAST], TWO, [""])],
)
def test_answers_of_which_nobody_knows_the_url_are_named(urls: list[str], ours: Job, names: list[str]) -> None:
    """Where they might have counted."""
    assert unclear_endpoints(Recorded(ONE, *urls), ours, [AnswerSource("m")]) == names


def test_answers_of_a_name_that_has_moved_are_clear_where_that_was_noted() -> None:
    recorded = executed(job(endpoint=Endpoint(base_url=EAST)), job(endpoint=Endpoint(base_url=WEST)))
    assert unclear_endpoints(recorded, TWO, [AnswerSource("m"), AnswerSource("m", " [2]")]) == []
