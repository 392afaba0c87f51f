"""How long a stopped run waits for what is in flight."""

import asyncio
from itertools import count

import pytest
from harness.clock import run_virtually
from harness.endpoints import Endpoint, lognormal
from harness.runs import requests
from harness.stage import Stage

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.drain import Drain
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.records import Fault, GivenUp, Stop

TIMEOUT_S = 600.0
HANGS = Fault("timeout", "no answer in time", TIMEOUT_S)
STOP = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)


def _lane(in_flight: int, answers: int, slowest_s: float, *, is_away: bool = False) -> Lane:
    lane = Lane(SharedQueue("m", 5), lambda model, is_bare: requests(1)[0], None)  # type: ignore[arg-type]
    lane.in_flight, lane.answers, lane.slowest_s = in_flight, answers, slowest_s
    if is_away:
        lane.health.doubt("timeout", "silence", 50.0)
    return lane


def _works(*sent_s: float) -> list[Work]:
    works = [Work(request, 5) for request in requests(len(sent_s))]
    for work, each_s in zip(works, sent_s, strict=True):
        work.sent_s = each_s
    return works


@pytest.mark.parametrize(
    ("lane", "waits_s", "late"),
    [
        (_lane(2, 1_000, 2.0), 20.0, 1),
        (_lane(2, 1_000, 20.0), 70.0, 1),
        (_lane(2, 1_000, 40.0), 150.0, 0),
        (_lane(2, 2, 2.0), 20.0, 1),
        (_lane(2, 1, 2.0), 590.0, 0),
        (_lane(2, 0, 0.0), 590.0, 0),
        (_lane(2, 0, 0.0, is_away=True), 20.0, 1),
        (_lane(2, 1_000, 20.0, is_away=True), 70.0, 1),
    ],
    ids=[
        "fast", "slow", "very slow", "as many answers as in flight", "fewer", "none", "away and no answer", "away",
    ],
)  # fmt: skip
def test_a_drain_ends_when_all_that_is_in_flight_is_much_older_than_any_answer(
    lane: Lane, waits_s: float, late: int
) -> None:
    """At 100 s, with attempts that are 100 s and 10 s old. Where little is known, each has its timeout."""
    drain, works = Drain([lane]), _works(0.0, 90.0)
    assert drain.most_s(works, 100.0, TIMEOUT_S, is_stream=False) == waits_s
    assert sum(len(each.works) for each in drain.find_overdue(works, 100.0)[0]) == late
    assert drain.most_s(works, 100.0, 3_600.0, is_stream=True) == 3_590.0
    assert drain.most_s([], 100.0, TIMEOUT_S, is_stream=False) == 0.0


def test_what_was_announced_holds_although_a_slower_answer_arrives() -> None:
    """And an outage that ends meanwhile does not make the wait longer."""
    for lane in (_lane(2, 1_000, 2.0), _lane(2, 0, 0.0, is_away=True)):
        drain, works = Drain([lane]), _works(90.0)
        lane.health.pause = None
        lane.answered(29.0, 100.0)
        assert drain.most_s(works, 100.0, TIMEOUT_S, is_stream=False) == 20.0
        assert [each.works for each in drain.find_overdue(works, 120.0)[0]] == [works]


def test_a_model_of_which_little_was_known_is_given_up_once_it_has_answered_enough() -> None:
    lane = _lane(3, 2, 2.0)
    drain, works = Drain([lane]), _works(0.0, 0.0, 0.0)
    assert drain.find_overdue(works, 100.0) == ([], 130.0)
    lane.answers, lane.in_flight = 3, 2
    assert [each.works for each in drain.find_overdue(works[:2], 130.0)[0]] == [works[:2]]


def _stopped(trouble: object, after_s: float, rows: int = 2_000) -> tuple[Stage, float, float]:
    """Stop a run after a while; return it, how long it was to take at most, and how long it took."""
    endpoint = Endpoint(lambda now_s: 50, trouble=trouble)  # type: ignore[arg-type]
    stage = Stage(endpoint, rows, limit=Limit(50, start=50))
    times: list[float] = []

    def stop() -> None:
        stage.pool.look()
        times.append(stage.pool.drain_s(TIMEOUT_S, is_stream=False))
        times.append(asyncio.get_running_loop().time())
        stage.pool.stop(STOP)

    async def main() -> None:
        asyncio.get_running_loop().call_later(after_s, stop)
        await stage.pool.run(stage.batches())
        times.append(asyncio.get_running_loop().time())

    run_virtually(main())
    most_s, stopped_s, ended_s = times
    return stage, most_s, ended_s - stopped_s


def test_a_drain_does_not_wait_for_the_timeout_of_many_requests_that_hang() -> None:
    """A gateway has lost all that was in flight: more than the few that count as stragglers."""
    numbers = count()
    hangs = lambda now_s, body: HANGS if 200 <= next(numbers) < 250 else None  # noqa: E731
    stage, most_s, took_s = _stopped(hangs, 3.0)
    assert took_s <= most_s + 0.001 <= 31
    assert sum(event.requests for event in stage.events if isinstance(event, GivenUp)) > 40
    assert stage.pool.drained[1] > 40


def test_a_drain_in_an_outage_does_not_wait_for_the_timeout_of_the_probe() -> None:
    """The endpoint has fallen silent: every probe hangs, a canary too."""
    stage, most_s, took_s = _stopped(lambda now_s, body: HANGS if now_s > 5.0 else None, 700.0)
    assert stage.pool.trouble is not None
    assert took_s <= most_s + 0.001 <= 31


def test_slow_answers_are_waited_for_before_any_has_come() -> None:
    """As with answers that take minutes: a stop loses none that is paid for."""
    endpoint = Endpoint(lambda now_s: 50, latency=lognormal(120.0))
    stage = Stage(endpoint, 40, limit=Limit(50, start=50))
    stage.run(lambda stage: stage.pool.stop(STOP), 60.0)
    assert len(stage.outcomes) == endpoint.accepted > 0
