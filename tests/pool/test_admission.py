"""Which request is sent next. Pure: time and what is in flight are given."""

import pytest
from harness.runs import requests

from batchrun.pool import admission as admission_module
from batchrun.pool.admission import Admission
from batchrun.pool.backlog import Work
from batchrun.pool.budget import NO_CAP, Amount, Budget
from batchrun.pool.health import Failure, Health
from batchrun.pool.limits import Limit
from batchrun.pool.verdicts import Verdict
from batchrun.records import Fault, Request, Usage


def dollars(cap_usd: float) -> Budget:
    return Budget(NO_CAP._replace(usd=cap_usd), Amount(), lambda request: Amount(1.0), lambda model, usage: Amount())


def admission(fresh: int = 0, *, limit: int = 4, budget: Budget | None = None, fed: bool = True) -> Admission:
    made = Admission(
        Limit(limit, start=limit),
        Health(),
        max_attempts=2,
        budget=budget,
        canary=lambda model: Request(-1, model, 0, b"", b"canary", None),
    )
    made.backlog.extend(requests(fresh))
    made.is_fed = fed
    return made


def failed(row: int) -> Work:
    work = Work(Request(row, "m", 0, b"", b"", None), 2)
    work.failure = (Fault("timeout", "silence", 1.0), Verdict("timeout", "silence", Usage()))
    return work


def suspect(made: Admission, row: int, now_s: float = 0.0) -> Work:
    work = failed(row)
    made.health.failed(work, Failure("timeout", "silence", 10, now_s, now_s, 99, was_probe=False))
    return work


def row(work: Work | None) -> int | None:
    return work.request.row if work else None


def test_fresh_rows_come_in_order_while_there_are_slots() -> None:
    """None when all slots are taken, and none when no row is left."""
    made = admission(3)
    assert [row(made.next(in_flight, 0.0)) for in_flight in (0, 1, 4, 2, 3)] == [0, 1, None, 2, None]
    assert made.is_exhausted


def test_what_is_due_again_comes_before_what_was_never_sent() -> None:
    """What is not due yet stays back, and the time when it is due is told."""
    made = admission(2)
    made.backlog.put(failed(7), 1.0)
    made.backlog.put(failed(8), 5.0)
    assert row(made.next(0, 2.0)) == 7
    assert row(made.next(0, 2.0)) == 0
    assert row(made.next(0, 2.0)) == 1
    assert made.next(0, 2.0) is None
    assert made.look_again_s == 5.0
    assert not made.is_exhausted


def test_not_too_many_wait_before_fresh_rows_are_taken() -> None:
    """Four times the ceiling: what fails is not piled up without end."""
    made = admission(5, limit=2)
    for number in range(100, 108):
        made.backlog.put(failed(number), 9.0)
    assert made.next(0, 0.0) is None
    assert made.look_again_s == 9.0


@pytest.mark.parametrize(("fed", "hungry"), [(False, True), (True, True)])
def test_more_rows_are_asked_for_while_few_are_ready(fed: bool, hungry: bool) -> None:
    """Sixty-four, or as many as may be in flight."""
    assert admission(64, fed=fed).is_hungry is hungry
    assert not admission(65, fed=fed).is_hungry
    assert admission(200, limit=200, fed=fed).is_hungry


def test_while_paused_only_probes_leave_each_in_its_time() -> None:
    """Fresh rows probe first, then others that are no suspects; the time of the next is told."""
    made = admission(1)
    bad, good = suspect(made, 7), failed(8)
    made.backlog.put(bad, 0.0)
    made.backlog.put(good, 99.0)
    made.health.doubt("timeout", "silence", 10.0)
    assert made.next(0, 10.2) is None
    assert made.look_again_s == pytest.approx(10.625)  # a sixteenth of the outage's age
    probe = made.next(0, 10.7)
    assert row(probe) == 0
    assert made.next(0, 10.7) is None
    assert made.look_again_s == pytest.approx(10.7 + 10.7 / 16)
    assert made.next(0, 20.0) is good
    assert probe is not None
    assert made.ends_probe(probe)
    assert not made.ends_probe(probe)
    assert not made.ends_probe(bad)


def test_a_canary_is_sent_when_only_suspects_are_left_and_one_at_a_time() -> None:
    """Not while more rows are to come: one of them may tell."""
    made = admission(fed=False)
    made.backlog.put(suspect(made, 7), 0.0)
    made.health.doubt("timeout", "silence", 10.0)
    assert made.next(0, 11.0) is None
    made.is_fed = True
    canary = made.next(0, 11.0)
    assert canary is not None
    assert canary.is_canary
    assert (canary.request.body, canary.request.model) == (b"canary", "m")
    assert made.next(0, 20.0) is None
    assert made.ends_probe(canary)
    again = made.next(0, 21.0)
    assert again is not None
    assert again.is_canary


def test_rows_that_are_kept_back_are_judged_by_those_that_follow() -> None:
    """While others are in flight, wait, or are to come, nobody need ask; when nobody is, a probe must."""
    made = admission(1)
    made.backlog.park(suspect(made, 7))
    assert row(made.next(0, 1.0)) == 0
    assert made.next(1, 1.0) is None
    assert made.health.pause is None
    waiting = failed(8)
    made.backlog.put(waiting, 50.0)
    assert made.next(0, 1.0) is None
    assert made.look_again_s == 50.0
    assert made.backlog.take_due(50.0) is waiting
    made.is_fed = False
    assert made.next(0, 1.0) is None
    assert made.health.pause is None
    made.is_fed = True
    assert made.next(0, 1.0) is None
    assert made.health.pause is not None
    assert not made.is_exhausted
    assert made.look_again_s is not None
    canary = made.next(0, made.look_again_s)
    assert canary is not None
    assert canary.is_canary


def test_kept_back_rows_that_fill_the_waiting_room_do_not_stop_the_run() -> None:
    """With one slot four of them do: then a fresh row probes."""
    made = admission(3, limit=1)
    for number in range(100, 104):
        made.backlog.park(suspect(made, number))
    assert made.next(0, 1.0) is None
    assert made.look_again_s is not None
    assert row(made.next(0, made.look_again_s)) == 0


def test_a_row_that_cannot_be_paid_for_waits_and_is_told() -> None:
    """It is the next when money comes back; what was told of it does not outlive it."""
    budget = dollars(1.0)
    made = admission(2, budget=budget)
    first = made.next(0, 0.0)
    assert first is not None
    assert first.reserve is not None
    assert made.next(1, 0.0) is None
    assert made.is_out_of_budget
    assert made.next(4, 0.0) is None
    assert not made.is_out_of_budget
    failure = Fault("connection", "refused", 0.1, was_sent=False)
    budget.settle(first.reserve, "m", Verdict("connection", "refused", Usage()), failure)
    assert row(made.next(0, 0.0)) == 1


def test_a_probe_that_cannot_be_paid_for_is_none() -> None:
    """Nobody waits for its answer."""
    made = admission(1, budget=dollars(0.5))
    suspect(made, 7)
    made.health.doubt("timeout", "silence", 0.0)
    assert made.next(0, 1.0) is None
    assert made.is_out_of_budget
    waiting = made.backlog.take_due(1.0)
    assert row(waiting) == 0
    assert waiting is not None
    assert not made.ends_probe(waiting)


def test_a_rate_keeps_everything_back_until_its_time() -> None:
    """Fresh rows, due rows and probes alike."""
    made = admission(1)
    made.pace.sent(0.0)
    made.pace.exceeded(0.0, 30.0)
    assert made.next(0, 10.0) is None
    assert made.look_again_s is not None
    assert made.look_again_s >= 30.0
    assert row(made.next(0, made.look_again_s)) == 0


def large(count: int, size_bytes: int) -> list[Request]:
    return [request._replace(body=bytes(size_bytes)) for request in requests(count)]


def test_large_requests_are_not_piled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With images in them, a few hundred would fill the memory."""
    monkeypatch.setattr(admission_module, "_READY_BYTES", 100)
    made = admission(limit=50, fed=False)
    made.backlog.extend(large(3, 30))
    assert made.is_hungry
    made.backlog.extend(large(1, 30))
    assert not made.is_hungry
    while made.next(0, 0.0):
        pass
    made.backlog.extend(large(1, 1000))
    assert not made.is_hungry
    made.next(0, 0.0)
    assert made.is_hungry


def test_no_more_is_sent_than_the_memory_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for another attempt counts too, and is sent before what is fresh. One request may always be sent."""
    monkeypatch.setattr(admission_module, "_HELD_BYTES", 100)
    made = admission(limit=50)
    made.backlog.extend(large(9, 60))
    taken = []
    for in_flight in range(3):
        taken.append(made.next(in_flight, 0.0))
        made.in_flight_bytes += 60 if taken[-1] else 0
    assert [row(work) for work in taken] == [0, 1, None]
    made.in_flight_bytes = 0
    for work in taken[:2]:
        assert work is not None
        made.backlog.put(work, 5.0)
    assert made.next(0, 0.0) is None
    assert row(made.next(0, 5.0)) == 0
    made.in_flight_bytes = 60
    assert row(made.next(1, 5.0)) == 1
    made.in_flight_bytes = 0
    assert row(made.next(0, 6.0)) == 2


def test_rows_that_are_kept_back_do_not_fill_the_memory_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for somebody's success, so somebody must be sent."""
    monkeypatch.setattr(admission_module, "_HELD_BYTES", 100)
    made = admission(2)
    made.backlog.park(Work(large(1, 1000)[0], 2))
    assert row(made.next(0, 0.0)) == 0
    assert made.next(1, 0.0) is None
