"""Which request is sent next; time and the requests in flight are given."""

import pytest
from harness.runs import requests

from batchrun.endpoint.pool import supply as supply_module
from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.supply import Supply
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Request, Usage


def dollars(cap_usd: float) -> Budget:
    return Budget(NO_CAP._replace(usd=cap_usd), Used(), lambda request: Amount(1.0), lambda model, usage: Amount())


def admission(fresh: int = 0, *, limit: int = 4, budget: Budget | None = None, fed: bool = True) -> Admission:
    supply = Supply(2, lambda queue: [made.open(queue)])
    made = Admission(
        Limit(limit, start=limit),
        supply,
        budget=budget,
        canary=lambda model, is_bare: Request(-1, model, 0, b"", b"canary", None),
    )
    supply.extend(requests(fresh))
    supply.is_fed = fed
    return made


def take(made: Admission, in_flight: int, now_s: float) -> Work | None:
    """Return the request that is sent next while this many are in flight."""
    made.in_flight = made.lane("m").in_flight = in_flight
    return made.next(now_s)


def row(work: Work | None) -> int | None:
    return work.request.row if work else None


def test_fresh_rows_come_in_order_while_there_are_slots() -> None:
    """None when all slots are taken or no row is left."""
    made = admission(3)
    assert [row(take(made, in_flight, 0.0)) for in_flight in (0, 1, 4, 2, 3)] == [0, 1, None, 2, None]
    assert made.supply.is_exhausted


@pytest.mark.parametrize(("fed", "hungry"), [(False, True), (True, True)])
def test_more_rows_are_requested_while_few_are_ready(fed: bool, hungry: bool) -> None:
    """Few means sixty-four, or as many as may be in flight."""
    assert admission(64, fed=fed).supply.is_hungry is hungry
    assert not admission(65, fed=fed).supply.is_hungry
    assert admission(200, limit=200, fed=fed).supply.is_hungry


def both(rows: int) -> list[Request]:
    """Return requests that go to two models each."""
    return [request for pair in zip(requests(rows), requests(rows, "n"), strict=True) for request in pair]


def sent(made: Admission, now_s: float = 0.0) -> list[tuple[str, int]]:
    """Send all that may be sent; return models and rows."""
    found = []
    while (work := made.next(now_s)) is not None:
        made.sent(work)
        found.append((work.request.model, work.request.row))
    return found


def test_models_take_turns() -> None:
    """In the order of the rows, as long as each model has requests."""
    made = admission(limit=10)
    made.supply.extend(both(2))
    made.supply.extend(requests(2, "o"))
    assert sent(made) == [("m", 0), ("n", 0), ("o", 0), ("m", 1), ("n", 1), ("o", 1)]


def test_a_model_that_is_doubted_probes_while_the_others_continue() -> None:
    """The others use its slots; when they have no more requests, admission gives the time of its next probe."""
    made = admission(limit=10)
    made.supply.extend(both(3))
    made.lane("n").health.doubt("timeout", "silence", 0.0)
    assert sent(made) == [("m", 0), ("m", 1), ("m", 2)]
    assert made.look_again_s == pytest.approx(0.5)
    assert sent(made, 0.6) == [("n", 0)]


@pytest.mark.parametrize("bound", ["_READ_AHEAD", "_READ_AHEAD_BYTES"])
def test_the_waiting_requests_of_a_silent_model_are_bounded(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows come while the others need them, but not when too many of these rows would only wait."""
    monkeypatch.setattr(supply_module, bound, 100 if bound == "_READ_AHEAD" else 1000)
    made = admission(fed=False)
    made.lane("n").health.doubt("timeout", "silence", 0.0)
    sizes = [request._replace(body=bytes(10)) for request in both(70)]
    made.supply.extend(sizes)
    assert not made.supply.is_hungry
    while made.lane("m").queue.take():
        pass
    assert made.supply.is_hungry
    made.supply.extend(sizes)
    while made.lane("m").queue.take():
        pass
    assert not made.supply.is_hungry


def test_while_no_model_answers_rows_of_other_models_are_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may begin with the rows of a model that is away, as it does when a run resumes."""
    monkeypatch.setattr(supply_module, "_READ_AHEAD", 200)
    made = admission(150, fed=False)
    assert not made.supply.is_hungry
    made.lane("m").health.doubt("timeout", "silence", 0.0)
    assert made.supply.is_hungry
    made.supply.extend(requests(50, "n"))
    assert not made.supply.is_hungry
    assert sent(made)[0] == ("n", 0)


def test_a_model_whose_waiting_room_is_full_holds_back_no_rows_of_the_others() -> None:
    """It is not away, but it takes no fresh rows."""
    made = admission(80, limit=1, fed=False)
    assert not made.supply.is_hungry
    for row in range(1_024):
        made.lane("m").backlog.put(Work(requests(1)[0]._replace(row=row), 2), 99.0)
    assert made.supply.is_hungry


def test_no_model_has_more_than_its_share_of_the_slots_while_another_could_use_them() -> None:
    """A silent model would take them all in the end; it may when the others have no requests."""
    made = admission(limit=10)
    made.supply.extend(requests(9))
    assert [model for model, _ in sent(made)] == ["m"] * 9
    for _ in range(4):
        made.returned(Work(requests(1)[0], 2))
    made.supply.extend(requests(9))
    made.supply.extend(requests(9, "n"))
    assert sent(made) == [("n", row) for row in range(5)]


def test_a_model_that_is_too_expensive_for_the_rest_of_the_budget_leaves_it_to_the_others() -> None:
    """The run is out of budget only when no model can be paid for."""
    price = {"m": 50.0, "n": 1.0}
    budget = Budget(
        NO_CAP._replace(usd=3.0), Used(), lambda request: Amount(price[request.model]), lambda model, usage: Amount()
    )
    made = admission(limit=10, budget=budget)
    made.supply.extend(both(5))
    assert sent(made) == [("n", 0), ("n", 1), ("n", 2)]
    assert made.is_out_of_budget


def test_a_row_that_cannot_be_paid_for_waits_and_is_reported() -> None:
    """It is the next when money is free again, and then it is no longer reported."""
    budget = dollars(1.0)
    made = admission(2, budget=budget)
    first = take(made, 0, 0.0)
    assert first is not None
    assert first.reserve is not None
    assert take(made, 1, 0.0) is None
    assert made.is_out_of_budget
    assert take(made, 4, 0.0) is None
    assert not made.is_out_of_budget
    failure = Fault("connection", "refused", 0.1, was_sent=False)
    budget.settle(first.reserve, "m", Verdict("connection", "refused", Usage()), failure)
    assert row(take(made, 0, 0.0)) == 1


def test_a_probe_that_cannot_be_paid_for_does_not_count() -> None:
    """Nothing waits for its answer."""
    made = admission(1, budget=dollars(0.5))
    made.lane("m").health.doubt("timeout", "silence", 0.0)
    assert take(made, 0, 1.0) is None
    assert made.is_out_of_budget
    waiting = made.lane("m").backlog.take_due(1.0)
    assert row(waiting) == 0
    assert waiting is not None
    assert not made.lane("m").ends_probe(waiting)


def test_a_rate_holds_everything_back_until_its_time() -> None:
    """Fresh rows, due rows and probes."""
    made = admission(1)
    made.pace.sent(0.0)
    made.pace.exceeded(0.0, 30.0)
    assert take(made, 0, 10.0) is None
    assert made.look_again_s is not None
    assert made.look_again_s >= 30.0
    assert row(take(made, 0, made.look_again_s)) == 0


def large(count: int, size_bytes: int) -> list[Request]:
    return [request._replace(body=bytes(size_bytes)) for request in requests(count)]


def test_large_requests_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred requests with images would fill memory."""
    monkeypatch.setattr(supply_module, "READY_BYTES", 100)
    made = admission(limit=50, fed=False)
    made.supply.extend(large(3, 30))
    assert made.supply.is_hungry
    made.supply.extend(large(1, 30))
    assert not made.supply.is_hungry
    while take(made, 0, 0.0):
        pass
    made.supply.extend(large(1, 1000))
    assert not made.supply.is_hungry
    take(made, 0, 0.0)
    assert made.supply.is_hungry


def test_no_more_is_sent_than_memory_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait for another attempt count too, and leave before fresh ones. One request may always leave."""
    monkeypatch.setattr(supply_module, "_HELD_BYTES", 100)
    made = admission(limit=50)
    made.supply.extend(large(9, 60))
    taken = []
    for in_flight in range(3):
        taken.append(take(made, in_flight, 0.0))
        made.lane("m").in_flight_bytes += 60 if taken[-1] else 0
    assert [row(work) for work in taken] == [0, 1, None]
    made.lane("m").in_flight_bytes = 0
    for work in taken[:2]:
        assert work is not None
        made.lane("m").backlog.put(work, 5.0)
    assert take(made, 0, 0.0) is None
    assert row(take(made, 0, 5.0)) == 0
    made.lane("m").in_flight_bytes = 60
    assert row(take(made, 1, 5.0)) == 1
    made.lane("m").in_flight_bytes = 0
    assert row(take(made, 0, 6.0)) == 2


def test_rows_that_are_held_back_do_not_fill_memory_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for another row's success, so another row must be sent."""
    monkeypatch.setattr(supply_module, "_HELD_BYTES", 100)
    made = admission(2)
    made.lane("m").backlog.park(Work(large(1, 1000)[0], 2))
    assert row(take(made, 0, 0.0)) == 0
    assert take(made, 1, 0.0) is None
