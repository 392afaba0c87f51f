"""Failures that show nothing: kept connections that the server had closed, through the real pool."""

from collections import Counter

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import CANARY, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Paused, Reply

STALE = Fault("connection", "the server closed the connection without an answer", 0.001, is_stale=True)
CUT = STALE._replace(is_stale=False)


class Server:
    """Answers after a number of broken connections for each request."""

    def __init__(self, broken: int, fault: Fault = STALE) -> None:
        self.sent: Counter[bytes] = Counter()
        self._broken, self._fault = broken, fault
        self.endpoint = Endpoint(lambda now_s: 50, trouble=self._trouble)

    def _trouble(self, now_s: float, body: bytes) -> Reply | Fault | None:
        self.sent[body] += 1
        return self._fault if self.sent[body] <= self._broken else None


@pytest.mark.parametrize("broken", [1, 3])
def test_connections_that_the_server_had_closed_cost_no_attempt_and_no_time(broken: int) -> None:
    """Even if all were closed at once: that is not an outage, and with one attempt no row fails."""
    server = Server(broken)
    run = send_all(server.endpoint, 500, limit=Limit(50, start=50), policy=Policy(max_attempts=1))
    assert run.failed == []
    assert {outcome.attempts for outcome in run.outcomes} == {broken + 1}
    assert run.count(Paused) == 0
    assert run.ended_s < 10


def test_a_row_that_meets_nothing_else_fails_in_the_end() -> None:
    """Three times at no cost; then each costs an attempt, if others are answered."""
    server = Server(0)

    def trouble(now_s: float, body: bytes) -> Reply | Fault | None:
        server.sent[body] += 1
        return STALE if body == b"row-90" else None

    server.endpoint.trouble = trouble
    run = send_all(server.endpoint, 500, limit=Limit(20), policy=Policy(max_attempts=2))
    assert [(outcome.row, outcome.kind, outcome.attempts) for outcome in run.failed] == [(90, "connection", 5)]


def test_a_connection_that_was_cut_costs_an_attempt() -> None:
    """Others are answered: the row failed."""
    server = Server(0)
    server.endpoint.trouble = lambda now_s, body: CUT if body == b"row-90" else None
    run = send_all(server.endpoint, 500, limit=Limit(20), policy=Policy(max_attempts=2))
    assert [(outcome.row, outcome.attempts) for outcome in run.failed] == [(90, 2)]


def test_a_canary_on_a_closed_connection_is_a_failed_canary() -> None:
    """A server that closes all connections is away, however politely: patience ends."""
    endpoint = Endpoint(lambda now_s: 50)
    endpoint.trouble = lambda now_s, body: (refusal(503) if now_s > 1 else None) if body != CANARY else STALE
    run = send_all(endpoint, 200, limit=Limit(50, start=50), policy=Policy(patience_s=60.0))
    assert run.stop is not None
    assert run.stop.exit_code == 5
    assert run.ended_s < 100
