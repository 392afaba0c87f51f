"""A server that crashes and is restarted at once, through the real pool on the virtual clock."""

import asyncio
from collections.abc import Sequence

import pytest
from harness.endpoints import Endpoint, lognormal
from harness.runs import send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Paused, Reply, RequestKind, Resumed


class Crashing:
    """Loses what is in flight at some times, and refuses connections for a while after each."""

    def __init__(self, crashes_s: Sequence[float], down_s: float) -> None:
        self._crashes_s, self._down_s = crashes_s, down_s
        self._endpoint = Endpoint(lambda now_s: 50, latency=lognormal(2.0))

    def give_up(self, attempt: "asyncio.Task[None]", silent_s: float) -> bool:
        return False

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
        now_s = asyncio.get_running_loop().time()
        if any(crash_s <= now_s < crash_s + self._down_s for crash_s in self._crashes_s):
            await asyncio.sleep(0.001)
            return Fault("connection", "no connection: refused", 0.001, was_sent=False)
        left_s = min((crash_s for crash_s in self._crashes_s if crash_s > now_s), default=1e9) - now_s
        try:
            return await asyncio.wait_for(self._endpoint.send(body), left_s)
        except TimeoutError:
            return Fault("connection", "cut", left_s)


@pytest.mark.parametrize("down_s", [0.0, 0.1, 0.3, 0.6, 5.0])
def test_a_crash_costs_no_row_an_attempt_however_quickly_the_server_is_back(down_s: float) -> None:
    """Six crashes, and one attempt for each row. Each crash is reported."""
    run = send_all(Crashing(range(10, 70, 10), down_s), 1_500, limit=Limit(50, start=50), policy=Policy(max_attempts=1))
    assert run.failed == []
    assert len(run.outcomes) == 1_500
    assert (run.count(Paused), run.count(Resumed)) == (6, 6)


def test_rows_that_fail_in_the_same_moment_after_they_were_sent_together_fail_for_themselves() -> None:
    """Forty bad rows in a row, each of which takes a second to fail: a burst of them is not a crash."""
    bad = {b"row-%d" % row for row in range(100, 140)}
    broken = Fault("connection", "cut", 1.0)
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: broken if body in bad else None)
    run = send_all(endpoint, 500, limit=Limit(50, start=50), policy=Policy(max_attempts=2))
    assert {outcome.row for outcome in run.failed} == set(range(100, 140))
    assert run.ended_s < 60
