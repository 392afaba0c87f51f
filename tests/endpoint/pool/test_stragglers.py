"""Attempts that hang at the end of a run: given up and sent again, once."""

import asyncio
from collections import Counter

import pytest
from harness.clock import run_virtually
from harness.endpoints import Endpoint, refusal
from harness.runs import rates_by_bytes, requests, send_all
from harness.stage import Stage

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.rules import Policy
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.endpoint.pool.stragglers import find_overdue
from batchrun.records import Attempted, Fault, GivenUp, Paused, Reply, Stop, Usage

TIMEOUT_S = 600.0
HANGS = Fault("timeout", "no answer in time", TIMEOUT_S)


class Server:
    """Answers in about half a second; some rows hang as often as is set."""

    def __init__(self, hangs: dict[int, int], *, is_silent: bool = True) -> None:
        self.sent: Counter[bytes] = Counter()
        self._hangs = {b"row-%d" % row: times for row, times in hangs.items()}
        self.endpoint = Endpoint(lambda now_s: 50, trouble=self._trouble)
        if not is_silent:
            self.endpoint.give_up = lambda attempt, silent_s: False  # type: ignore[method-assign]

    def _trouble(self, now_s: float, body: bytes) -> Reply | Fault | None:
        self.sent[body] += 1
        return HANGS if self.sent[body] <= self._hangs.get(body, 0) else None


FIVE = {7: 1, 700: 1, 1_500: 1, 1_998: 1, 1_999: 1}


def test_five_requests_that_hang_do_not_hold_up_the_end_for_ten_minutes() -> None:
    """They are given up 30 s after they were sent at the earliest, sent again, answered, and reported."""
    server = Server(FIVE)
    run = send_all(server.endpoint, 2_000, limit=Limit(50, start=50))
    assert (run.stop, run.failed) == (None, [])
    assert sorted(outcome.row for outcome in run.outcomes) == list(range(2_000))
    assert run.ended_s < 60
    assert {outcome.row: outcome.attempts for outcome in run.outcomes if outcome.attempts > 1} == dict.fromkeys(FIVE, 2)
    events = [event for event in run.events if isinstance(event, GivenUp)]
    assert sum(event.requests for event in events) == 5
    assert all(event.after_s >= 30 and 0.5 < event.slowest_s < 5 for event in events)
    assert run.count(Paused) == 0


def test_each_request_is_given_up_once_and_then_has_the_whole_timeout() -> None:
    """A request that hangs twice may really need that long."""
    server = Server({7: 2})
    run = send_all(server.endpoint, 2_000, limit=Limit(50, start=50))
    assert run.failed == []
    assert server.sent[b"row-7"] == 3
    assert 600 < run.ended_s < 700
    assert sum(event.requests for event in run.events if isinstance(event, GivenUp)) == 1


def test_a_stream_that_still_sends_is_not_given_up() -> None:
    """The client says so."""
    run = send_all(Server({7: 1}, is_silent=False).endpoint, 2_000, limit=Limit(50, start=50))
    assert run.count(GivenUp) == 0
    assert run.ended_s > 600


def test_an_attempt_that_is_given_up_is_one_of_the_rows_attempts() -> None:
    """With one attempt there is none to give up; with two the second is the last."""
    one = send_all(Server({7: 1}).endpoint, 2_000, policy=Policy(max_attempts=1))
    assert one.count(GivenUp) == 0
    assert [outcome.attempts for outcome in one.failed] == [1]
    two = send_all(Server({7: 9}).endpoint, 2_000, policy=Policy(max_attempts=2))
    assert [(outcome.row, outcome.attempts) for outcome in two.failed] == [(7, 2)]


def test_what_was_set_aside_for_an_attempt_that_is_given_up_stays_set_aside() -> None:
    """It may have been billed."""
    budget = Budget(NO_CAP._replace(usd=1e6), Used(), lambda request: Amount(1.0, 20), _used)
    send_all(Server(FIVE).endpoint, 2_000, limit=Limit(50, start=50), budget=budget)
    assert budget.used.set_aside == Amount(5.0, 100)
    assert budget.account.reserved_usd == pytest.approx(0.0)


def test_an_attempt_is_not_given_up_where_the_cap_has_no_room_for_another_one() -> None:
    """It would end the run; so it is waited for."""
    for room, given_up in ((30, 0), (40, 1)):
        cap = NO_CAP._replace(tokens=199 * 15 + room)
        budget = Budget(cap, Used(), lambda request: Amount(0.0, 20), _used)
        run = send_all(Server({7: 1}).endpoint, 200, limit=Limit(2, start=2), budget=budget)
        assert run.count(GivenUp) == given_up


@pytest.mark.parametrize("rates", [rates_by_bytes(60_000, None), rates_by_bytes(None, 60_000)])
def test_with_rates_too_requests_that_hang_are_given_up(rates: Rates) -> None:
    """What is sent again waits for its rate like any other."""
    run = send_all(Server(FIVE).endpoint, 2_000, limit=Limit(50, start=50), rates=rates)
    assert run.failed == []
    assert run.ended_s < 120
    assert sum(event.requests for event in run.events if isinstance(event, GivenUp)) == 5


def _used(model: str, usage: Usage) -> Amount | None:
    return Amount(0.1, 15) if usage.total_tokens else None


def test_while_there_is_more_to_send_nothing_is_given_up() -> None:
    """A request that hangs holds a slot, and nothing else."""
    server = Server({7: 1})
    stage = Stage(server.endpoint, 4_000, limit=Limit(10, start=10))
    given_up_s: list[float] = []
    loop_time = lambda: asyncio.get_running_loop().time()  # noqa: E731
    give_up = server.endpoint.give_up

    def noted(attempt: "asyncio.Task[None]", silent_s: float) -> bool:
        given_up_s.append(loop_time())
        assert not stage.pool.has_more
        return give_up(attempt, silent_s)

    server.endpoint.give_up = noted  # type: ignore[method-assign]
    assert stage.run() is None
    assert given_up_s
    assert min(given_up_s) > 150


@pytest.mark.parametrize(("after_s", "is_late"), [(1.0, False), (25.0, True)])
def test_a_run_is_late_when_only_stragglers_are_left(after_s: float, is_late: bool) -> None:
    """Then its rate says nothing about its end."""
    stage = Stage(Server({7: 1}).endpoint, 2_000, limit=Limit(50, start=50))
    seen: list[bool] = []
    stage.run(lambda stage: seen.append(stage.pool.is_late), after_s)
    assert seen == [is_late]


@pytest.mark.parametrize(("hangs", "answered_again"), [(1, 0), (2, 1)], ids=["at first", "sent again"])
def test_a_run_that_is_stopped_gives_up_what_hangs_and_leaves_its_row_open(hangs: int, answered_again: int) -> None:
    """It ends after 30 s instead of the timeout; nothing is sent again, and the attempt counts."""
    server = Server({7: hangs})
    stage = Stage(server.endpoint, 2_000, limit=Limit(50, start=50), policy={"max_attempts": 2})
    stop = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)
    ended_s: list[float] = []
    after_s = 25.0 + 30.0 * answered_again

    def look(stage: Stage) -> None:
        assert (stage.pool.in_flight, stage.pool.drained) == (1, (0, 0))
        stage.pool.stop(stop)

    async def main() -> Stop | None:
        asyncio.get_running_loop().call_later(after_s, look, stage)
        stopped = await stage.pool.run(stage.batches())
        ended_s.append(asyncio.get_running_loop().time())
        return stopped

    assert run_virtually(main()) is stop
    assert ended_s[0] < after_s + 31
    assert server.sent[b"row-7"] == 1 + answered_again
    assert 7 not in stage.outcomes
    assert stage.pool.drained == (1, 1)
    given_up = [event for event in stage.events if isinstance(event, GivenUp)]
    assert [event.is_last for event in given_up] == [False] * answered_again + [True]
    assert [event for event in stage.events if isinstance(event, Attempted)] == [Attempted("m", 1 + answered_again, 0)]


def test_a_run_that_is_stopped_gives_up_without_room_for_another_attempt() -> None:
    """None follows; what was set aside stays set aside."""
    budget = Budget(NO_CAP._replace(tokens=199 * 15 + 30), Used(), lambda request: Amount(0.0, 20), _used)
    stage = Stage(Server({7: 1}).endpoint, 200, limit=Limit(2, start=2), budget=budget)
    stop = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)
    stage.run(lambda stage: stage.pool.stop(stop), 100.0)
    assert [event.requests for event in stage.events if isinstance(event, GivenUp)] == [1]
    assert budget.used.set_aside == Amount(0.0, 20)


def test_the_attempts_of_a_straggler_are_counted_when_the_run_is_cancelled_after_it_was_sent_again() -> None:
    """The first in an event; the second, in flight, is counted when it is sent again."""
    server = Server({7: 2})
    stage = Stage(server.endpoint, 2_000, limit=Limit(50, start=50))

    async def main() -> None:
        task = asyncio.create_task(stage.pool.run(stage.batches()))
        await asyncio.sleep(100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    assert [event for event in stage.events if isinstance(event, Attempted)] == [Attempted("m", 1, 0)]


def _lane(answers: int, slowest_s: float) -> Lane:
    lane = Lane(SharedQueue("m", 5), lambda model, is_bare: requests(1)[0], None)  # type: ignore[arg-type]
    lane.answers, lane.slowest_s = answers, slowest_s
    return lane


def _works(*sent_s: float) -> list[Work]:
    works = [Work(request, 5) for request in requests(len(sent_s))]
    for work, each_s in zip(works, sent_s, strict=True):
        work.sent_s = each_s
    return works


@pytest.mark.parametrize(
    ("answers", "slowest_s", "sent_s", "late", "look_s"),
    [
        (2_000, 2.0, (70.0, 80.0), 1, 110.5),
        (2_000, 2.0, (71.0, 80.0), 0, 101.5),
        (2_000, 20.0, (0.0, 30.0), 1, 110.5),
        (2_000, 40.0, (0.0, 30.0), 0, 160.5),
        (19, 2.0, (0.0,), 0, 130.0),
        (20, 2.0, (0.0,), 1, 130.0),
        (2_000, 2.0, (0.0,) * 101, 0, 130.0),
        (2_000, 2.0, (), 0, None),
    ],
)
def test_few_attempts_are_overdue_that_are_much_older_than_the_slowest_answer(
    answers: int, slowest_s: float, sent_s: tuple[float, ...], late: int, look_s: float | None
) -> None:
    """At least 30 s and four times as old; one for twenty answers at most."""
    lane = _lane(answers, slowest_s)
    found, again_s = find_overdue(_works(*sent_s), lambda model: lane, 100.0)
    assert sum(len(each.works) for each in found) == late
    assert again_s == look_s


def test_in_a_pause_nothing_is_overdue() -> None:
    lane = _lane(2_000, 2.0)
    lane.health.doubt("timeout", "silence", 50.0)
    assert find_overdue(_works(0.0), lambda model: lane, 100.0)[0] == []


def test_an_endpoint_that_falls_silent_is_an_outage_and_its_rows_are_not_stragglers() -> None:
    """All that is in flight hangs: nothing is given up."""
    endpoint = Endpoint(lambda now_s: 50)
    endpoint.trouble = lambda now_s, body: HANGS if 5.0 < now_s < 300.0 else None
    run = send_all(endpoint, 600, limit=Limit(50, start=50))
    assert sorted(outcome.row for outcome in run.outcomes) == list(range(600))
    assert run.count(GivenUp) == 0


def test_a_row_that_waits_for_its_verdict_does_not_keep_others_from_being_given_up() -> None:
    """A bad row is held back until another success judges it; a hanging row is given up meanwhile."""
    server = Server({7: 1})

    def trouble(now_s: float, body: bytes) -> Reply | Fault | None:
        return refusal(500) if body == b"row-1999" else server._trouble(now_s, body)

    server.endpoint.trouble = trouble
    run = send_all(server.endpoint, 2_000, limit=Limit(50, start=50), policy=Policy(max_attempts=2))
    assert [outcome.row for outcome in run.failed] == [1_999]
    assert run.ended_s < 80
