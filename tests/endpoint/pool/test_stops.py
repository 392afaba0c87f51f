"""How the pool stops, on the virtual clock: what it keeps, what it counts, and what it raises."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from harness.clock import run_virtually
from harness.endpoints import Endpoint, refusal
from harness.runs import rates_by_bytes, requests
from harness.stage import Stage

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.records import Attempted, Outcome, Reply, Request, RequestKind, Stop

SLOTS = 50


def slots(now_s: float) -> int:
    return SLOTS


USER = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)


@pytest.mark.parametrize("rates", [None, (1_200, None), (None, 6_000), (60, 60)])
@pytest.mark.parametrize("after_s", [0.001, 0.01, 3.0])
def test_stop_keeps_what_is_in_flight_and_sends_nothing_more(rates: Any, after_s: float) -> None:
    """Requests in flight are answered and kept; `run` returns the first reason, even if a row waits for a rate."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 5_000, rates=rates_by_bytes(*rates) if rates else None)
    sent: list[int] = []

    def stop(stage: Stage) -> None:
        stage.pool.stop(USER)
        stage.pool.stop(Stop(kind="second", message="", exit_code=1))
        sent.append(endpoint.received)

    assert stage.run(stop, after_s) is USER
    assert sent == [endpoint.received]
    assert len(stage.outcomes) == endpoint.accepted
    assert stage.pool.in_flight == 0
    assert stage.flights[-1:] in ([], [0])  # or the next execution would say that they were sent and not recorded
    assert "stopping" in repr(stage.pool)


@pytest.mark.parametrize("rates", [None, (1_200, None)])
def test_stop_ends_a_pause_at_once(rates: Any) -> None:
    """A run that stops does not wait for an endpoint that is away."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(503, "overloaded") if now_s > 2 else None)
    stage = Stage(endpoint, 5_000, rates=rates_by_bytes(*rates) if rates else None)
    seen: list[Any] = []

    def stop(stage: Stage) -> None:
        seen.extend([stage.pool.trouble, repr(stage.pool), asyncio.get_running_loop().time()])
        stage.pool.stop(USER)

    assert stage.run(stop, 300.0) is USER
    assert seen[0] == "overloaded: overloaded"
    assert "paused" in seen[1]
    assert len(stage.outcomes) == endpoint.accepted


def test_a_stop_before_the_first_request_sends_nothing() -> None:
    """A deadline that has already passed is kept."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 100)
    stage.pool.stop(USER)
    assert stage.run() is USER
    assert endpoint.received == 0


@pytest.mark.parametrize("limit", [1, 20])
def test_every_attempt_is_counted_when_a_row_waits_for_its_rate_as_the_run_stops(limit: int) -> None:
    """One row was sent twice and waits to be sent a third time: both attempts are reported, in no outcome."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(500) if body == b"row-0" else None)
    stage = Stage(endpoint, 200, rates=rates_by_bytes(6, None), limit=Limit(limit))
    stage.run(lambda stage: stage.pool.stop(USER), 55.0)
    reported = sum(event.attempts for event in stage.events if isinstance(event, Attempted))
    assert reported + len(stage.outcomes) == endpoint.received
    assert reported


@pytest.mark.parametrize("after_s", [float(second) for second in range(1, 60, 3)])
def test_what_a_row_set_aside_is_free_again_when_the_run_stops_before_it_was_sent(after_s: float) -> None:
    """Nothing stays set aside once all that was sent has been answered."""
    budget = Budget(NO_CAP._replace(usd=1e6), Used(), lambda request: Amount(1.0, 10), lambda model, usage: Amount())
    stage = Stage(Endpoint(slots), 200, rates=rates_by_bytes(6, None), budget=budget)
    stage.run(lambda stage: stage.pool.stop(USER), after_s)
    assert (budget.account.reserved_usd, budget.account.reserved_tokens) == (0.0, 0)


def test_while_the_checkpoint_is_behind_nothing_is_sent_until_wake() -> None:
    """`may_admit` holds requests back, those in flight are answered, and `wake` continues."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 1_000)
    received: list[int] = []

    def close(stage: Stage) -> None:
        stage.is_open = False
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: received.append(endpoint.received))
        loop.call_later(100, open_again)

    def open_again() -> None:
        received.append(endpoint.received)
        stage.asked = 0
        stage.is_open = True
        stage.pool.wake()

    stage.run(close, 5.0)
    assert received[0] == received[1]
    assert sorted(stage.outcomes) == list(range(1_000))


def test_an_exception_of_on_outcome_is_raised_as_it_is() -> None:
    """A full disk ends the run with its own error; requests in flight are cancelled."""
    endpoint = Endpoint(slots)

    def refuse(outcome: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Stage(endpoint, 100, on_outcome=refuse).run()
    assert endpoint.in_flight == 0


@pytest.mark.parametrize("rates", [None, (1_200, None)])
def test_an_exception_of_the_client_or_of_the_input_is_raised_as_it_is(rates: Any) -> None:
    """A defect is not wrapped in an exception group."""

    class Broken:
        async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply:
            await asyncio.sleep(0.1)
            raise KeyError("defect")

    with pytest.raises(KeyError, match="defect"):
        Stage(Broken(), 100, rates=rates_by_bytes(*rates) if rates else None).run()

    stage = Stage(Endpoint(slots), 100)

    async def broken() -> AsyncIterator[Sequence[Request]]:
        yield requests(10)
        raise ValueError("torn file")

    stage.batches = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="torn file"):
        stage.run()


def test_the_attempts_of_rows_that_wait_are_counted_when_a_run_is_cancelled() -> None:
    """As after the second Ctrl-C: each is in an outcome, in an event, or in flight."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(503) if body[-1:] == b"7" else None)
    stage = Stage(endpoint, 2_000, policy={"max_attempts": 50})
    left: list[int] = []

    async def main() -> None:
        task = asyncio.create_task(stage.pool.run(stage.batches()))
        await asyncio.sleep(10)
        left.append(stage.pool.in_flight)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    reported = sum(event.attempts for event in stage.events if isinstance(event, Attempted))
    assert reported > 10
    assert reported + len(stage.outcomes) + left[0] == endpoint.received


def test_a_run_that_is_cancelled_is_cancelled() -> None:
    """CancelledError is raised again, and nothing stays in flight."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 1_000)

    async def main() -> None:
        task = asyncio.create_task(stage.pool.run(stage.batches()))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    assert endpoint.in_flight == 0


def in_code(status: int, code: str) -> Reply:
    return Reply(status, {}, b'{"error": {"message": "it does not work", "code": "%s"}}' % code.encode(), 0.01)


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "within_s"),
    [
        (503, "unknown_model", 4, 90),
        (500, "invalid_api_key", 4, 15),
        (500, "insufficient_user_quota", 5, 10),
        (502, "billing_not_active", 5, 10),
    ],
)
@pytest.mark.parametrize("from_s", [0.0, 5.0])
def test_a_refusal_that_comes_as_a_failure_of_the_server_stops_the_run(
    status: int, code: str, exit_code: int, within_s: float, from_s: float
) -> None:
    """Canaries confirm it, and no row fails by it."""
    settled: list[Outcome] = []
    last_s: list[float] = []

    def trouble(now_s: float, body: bytes) -> Reply | None:
        last_s[:] = [now_s]
        return in_code(status, code) if now_s >= from_s else None

    stopped = Stage(Endpoint(slots, trouble=trouble), 5_000, on_outcome=settled.append).run()
    assert stopped is not None
    assert stopped.exit_code == exit_code
    assert {outcome.kind for outcome in settled} <= {None}
    assert last_s[0] <= from_s + within_s


PASSING = [
    Reply(404, {}, b"default backend - 404", 0.01),
    refusal(401, "auth service unavailable"),
    refusal(400, "No connected db."),
    refusal(400, "Bad Request"),
    refusal(403, "Forbidden"),
    Reply(302, {"location": "https://status.example/"}, b"", 0.01),
]


@pytest.mark.parametrize("result", PASSING)
@pytest.mark.parametrize("away_s", [1.0, 6.0])
def test_a_gateway_that_refuses_everything_for_some_seconds_ends_nothing(result: Reply, away_s: float) -> None:
    """Where rows were answered before: an ingress, a login service or a database restarts. No row fails by it."""
    settled: list[Outcome] = []
    endpoint = Endpoint(slots, trouble=lambda now_s, body: result if 5 <= now_s < 5 + away_s else None)
    assert Stage(endpoint, 1_000, on_outcome=settled.append).run() is None
    assert {outcome.kind for outcome in settled} == {None}
    assert len(settled) == 1_000


@pytest.mark.parametrize("away_s", [0.1, 1.0, 5.0, 40.0])
def test_a_gateway_that_restarts_and_knows_no_model_meanwhile_ends_nothing(away_s: float) -> None:
    """It is an outage, and no row loses an attempt."""
    settled: list[Outcome] = []
    endpoint = Endpoint(
        slots, trouble=lambda now_s, body: in_code(503, "model_not_found") if 5 <= now_s < 5 + away_s else None
    )
    assert Stage(endpoint, 2_000, on_outcome=settled.append).run() is None
    assert len(settled) == 2_000
    assert {outcome.kind for outcome in settled} == {None}
