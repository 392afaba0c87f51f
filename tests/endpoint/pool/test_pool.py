"""The pool as a whole, on the virtual clock: what it never does, its order, its rates and its budget."""

from collections import Counter
from typing import Any

import pytest
from harness.endpoints import ANSWER, Endpoint, Faults, refusal
from harness.runs import CANARY, rates_by_bytes, send_all
from harness.stage import Stage

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Paused, Reply, Usage

Result = Reply | Fault
SLOTS = 50


def slots(now_s: float) -> int:
    return SLOTS


@pytest.mark.parametrize("ceiling", [1, 2, 7, 30])
def test_the_ceiling_is_never_exceeded(ceiling: int) -> None:
    """Neither by rejected requests nor by probes nor by canaries."""
    faults = Faults(0.1, refusal(500), refusal(503), refusal(429, "slow down"), Fault("timeout", "silence", 5.0))
    for limit in (slots, lambda now_s: max(0, ceiling - 2 + int(now_s) % 5)):
        endpoint = Endpoint(limit, trouble=faults)
        run = send_all(endpoint, 300, limit=Limit(ceiling, start=1_000), policy=Policy(max_attempts=50))
        assert endpoint.peak_sent == ceiling
        assert Counter(outcome.row for outcome in run.outcomes) == Counter(range(300))


def test_random_faults_leave_every_row_answered() -> None:
    """A tenth of all attempts each end in 500, 503 and 429: no row is lost, no pause, a third of the slots is used."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(500), refusal(503), refusal(429, "slow down")))
    run = send_all(endpoint, 10_000, limit=Limit(1_000), policy=Policy(max_attempts=12))
    assert not run.failed
    assert len(run.outcomes) == 10_000
    assert run.count(Paused) == 0
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.35


def test_rejections_by_chance_do_not_starve_the_run() -> None:
    """A tenth of all attempts end in 429 for no reason: still half of the slots' time is used."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(429, "slow down")))
    run = send_all(endpoint, 10_000, limit=Limit(1_000))
    assert not run.failed
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.5


def test_random_500s_do_not_slow_the_run_down() -> None:
    """Three attempts in ten fail at once: there is no pause, and the slots are in use."""
    endpoint = Endpoint(slots, trouble=Faults(0.15, refusal(500), refusal(503)))
    run = send_all(endpoint, 10_000, limit=Limit(1_000), policy=Policy(max_attempts=30))
    assert not run.failed
    assert run.count(Paused) == 0
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.9


def test_fresh_rows_are_sent_in_order() -> None:
    """Rows that are sent again come between; fresh rows keep their order."""
    first: list[int] = []

    def trouble(now_s: float, body: bytes) -> Result | None:
        row = int(body[4:])
        if row not in first:
            first.append(row)
            return refusal(500) if row % 7 == 3 else None
        return None

    send_all(Endpoint(slots, trouble=trouble), 1_000)
    assert first == list(range(1_000))


def test_a_waiting_row_holds_no_slot() -> None:
    """Twenty rows wait for a minute as the server asked; the others use all slots."""
    asked_to_wait: set[bytes] = set()

    def trouble(now_s: float, body: bytes) -> Result | None:
        if int(body[4:]) < 20 and body not in asked_to_wait:
            asked_to_wait.add(body)
            return refusal(503, "later", retry_after="60")
        return None

    endpoint = Endpoint(slots, trouble=trouble)
    run = send_all(endpoint, 2_000, limit=Limit(50, start=50))
    others_s = sorted(outcome.finished_at_ms for outcome in run.outcomes)
    assert len(others_s) == 2_000
    assert endpoint.peak == 50
    assert 60 <= run.ended_s < 63


WAITS = {
    "an outage": lambda now_s: refusal(503, "overloaded"),
    "no slot": lambda now_s: refusal(429, "Concurrency limit reached for requests"),
    "a rate": lambda now_s: refusal(429, "requests per minute", retry_after="60"),
    "silence": lambda now_s: Fault("timeout", "no answer in time", 600.0),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_waiting_an_hour_takes_almost_no_work(wait: str, rows: int) -> None:
    """Whatever the pool waits for, it looks for requests a few times a minute, not all the time."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: WAITS[wait](now_s) if now_s < 3_600 else None)
    stage = Stage(endpoint, rows, policy={"unheard_s": 7_200.0})
    assert stage.run() is None
    assert sorted(stage.outcomes) == list(range(rows))
    assert stage.asked < 4_000 + 4 * rows


def test_a_budget_stops_the_run_and_is_never_passed() -> None:
    """Ten requests fit at a time and cost a tenth of their most: the cap is used up, and kept."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(500), Fault("connection", "cut", 0.2)))

    def used(model: str, usage: Usage) -> Amount | None:
        return Amount(0.1, 15) if usage.total_tokens else None

    spent = Budget(NO_CAP._replace(usd=10.0), Used(), lambda request: Amount(1.0, 100), used)
    run = send_all(endpoint, 1_000, budget=spent, policy=Policy(max_attempts=20))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("cost_cap", 5)
    assert "--max-cost" in run.stop.message
    assert 9.0 < spent.used.total.usd <= 10.0
    assert spent.account.reserved_usd == pytest.approx(0.0)
    assert endpoint.peak_sent <= 10


def test_a_run_whose_answers_use_more_than_expected_stops_before_its_cap() -> None:
    """One slot: each answer uses two and a half times what was set aside for the first; the message has its amount."""
    used = Amount(0.25, 250)
    budget = Budget(NO_CAP._replace(tokens=1_300), Used(), lambda request: Amount(0.1, 100), lambda model, usage: used)
    run = send_all(Endpoint(slots), 20, limit=Limit(1), budget=budget)
    assert len(run.outcomes) == 5
    assert budget.used == Used(Amount(1.25, 1_250), Amount())
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("token_cap", 5)
    assert "can use up to 250 tokens; used so far: 1,250 tokens; raise" in run.stop.message


def test_a_budget_for_one_request_at_a_time_does_not_stop_the_run_in_a_pause() -> None:
    """The amount that an outage frees may be spent after it."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(500) if now_s < 30 else None)
    budget = Budget(NO_CAP._replace(usd=1.5), Used(), lambda request: Amount(1.0), lambda model, usage: Amount(0.001))
    run = send_all(endpoint, 20, budget=budget)
    assert len(run.outcomes) == 20


def test_rates_also_hold_for_requests_that_are_sent_again() -> None:
    """No minute sees more than allowed, whatever fails, and the run takes no longer than the rate requires."""
    times: list[float] = []
    faults = Faults(0.1, refusal(500), Fault("connection", "cut", 0.2))

    def trouble(now_s: float, body: bytes) -> Result | None:
        times.append(now_s)
        return faults(now_s, body)

    run = send_all(
        Endpoint(slots, trouble=trouble), 900, rates=rates_by_bytes(300, None), policy=Policy(max_attempts=20)
    )
    assert not run.failed
    assert len(run.outcomes) == 900
    for start_s in times:
        assert sum(start_s <= each < start_s + 60 - 1e-6 for each in times) <= 300
    assert run.ended_s < 1.1 * len(times) / 300 * 60


def test_a_canary_that_fails_for_itself_shows_that_the_endpoint_works() -> None:
    """A server that answers canaries with 400 works; the canary makes no outcome, and canaries end."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(400, "max_tokens too small") if body == CANARY else refusal(500)

    endpoint = Endpoint(slots, trouble=trouble)
    run = send_all(endpoint, 12, policy=Policy(max_attempts=2))
    assert sorted(outcome.row for outcome in run.outcomes) == list(range(12))
    assert endpoint.received < 60


def test_the_pool_reports_what_it_holds() -> None:
    """In flight, waiting and throttled: for the bar, and for debugging."""
    endpoint = Endpoint(lambda now_s: 5)
    stage = Stage(endpoint, 300)
    seen: list[Any] = []

    def look(stage: Stage) -> None:
        seen.extend([stage.pool.in_flight, stage.pool.throttled, stage.pool.trouble, repr(stage.pool)])

    stage.run(look, 2.0)
    assert 0 < seen[0] <= 20
    assert seen[1] > 0
    assert seen[2] is None
    assert "open" in seen[3]
    assert stage.pool.waiting == 0


def test_an_answer_is_kept_as_it_came() -> None:
    """The outcome has exactly its bytes."""
    run = send_all(Endpoint(slots), 3)
    assert [outcome.body for outcome in run.outcomes] == [ANSWER] * 3
    assert run.events == []
