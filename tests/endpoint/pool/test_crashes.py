"""A server that crashes and is restarted at once, through the real pool on the virtual clock."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from harness.endpoints import ANSWER, Endpoint, lognormal
from harness.runs import Run, send_all

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


@pytest.mark.parametrize("broken", [Fault("connection", "cut", 0.2), Reply(502, {}, b"", 0.2)], ids=["cut", "502"])
@pytest.mark.parametrize("first", [None, 1_000])
def test_hundreds_of_rows_that_break_their_own_connections_show_no_crash(
    broken: Fault | Reply, first: int | None
) -> None:
    """Spread or in a block: others that are in flight with them are answered, which shows that the endpoint goes on."""
    rows = random.Random(1).sample(range(2_000), 500) if first is None else range(first, first + 500)
    bad = {b"row-%d" % row for row in rows}
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: broken if body in bad else None)
    run = send_all(endpoint, 2_000, limit=Limit(50, start=50))
    assert {b"row-%d" % outcome.row for outcome in run.failed} == bad
    attempts = 4 if isinstance(broken, Reply) else 1  # a 502 costs a quarter
    assert run.ended_s < attempts * (45 if first is None else 220)
    assert run.count(Paused) < (3 if first is None else 200)


class Supervised:
    """A server that exits at some rows and is started again: all that is in flight breaks at once, as sockets do."""

    def __init__(self, killers: set[int], down_s: float, after_s: float, seed: int) -> None:
        self.crashes = 0
        self._killers = {b"row-%d" % row for row in killers}
        self._down_s, self._after_s, self._chance = down_s, after_s, random.Random(seed)
        self._up: asyncio.Event | None = None
        self._back_s = 0.0
        self._kept = 0  # connections

    def give_up(self, attempt: "asyncio.Task[None]", silent_s: float) -> bool:
        return False

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if began_s < self._back_s:
            await asyncio.sleep(0.001)
            return Fault("connection", "refused", 0.001, was_sent=False)
        if self._up is None:
            self._up, self._kept = asyncio.Event(), 0
        exits, is_kept = self._up, self._kept > 0
        self._kept -= is_kept
        kills = body in self._killers
        try:
            await asyncio.wait_for(exits.wait(), self._after_s if kills else self._chance.lognormvariate(-1.6, 0.35))
        except TimeoutError:
            if not kills:
                self._kept += 1
                return Reply(200, {}, ANSWER, 0.2)
            self.crashes += 1
            exits.set()
            self._up, self._back_s = None, loop.time() + self._down_s
        age_s = loop.time() - began_s
        return Fault("connection", "cut", age_s, is_stale=is_kept and age_s < 1)

    def run(self, rows: int, **settings: object) -> Run:
        return send_all(self, rows, limit=Limit(100), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "seed"), [(100, 1), (100, 2), (1_000, 1)])
@pytest.mark.parametrize("after_s", [0.01, 0.3])
@pytest.mark.parametrize(("down_s", "most"), [(0.3, 8), (1.5, 6), (5.0, 6)])
@pytest.mark.parametrize("killers", [1, 3, 10])
def test_each_row_that_takes_the_server_down_costs_a_few_crashes_however_many_there_are(
    killers: int, down_s: float, most: int, after_s: float, rows: int, seed: int
) -> None:
    """Also where a supervisor has the server back before the next probe: the time is about that of each, summed."""
    bad = set(random.Random(seed).sample(range(rows), killers))
    server = Supervised(bad, down_s, after_s, seed)
    run = server.run(rows)
    assert {outcome.row for outcome in run.failed} == bad
    assert len(run.outcomes) == rows
    assert server.crashes <= most * killers + 1
    assert run.ended_s < 20 + killers * most * (1.0 + 1.2 * down_s)


def test_no_other_row_fails_where_the_server_is_back_at_once() -> None:
    """A process that listens for its workers hides that one is gone: no connection is refused."""
    server = Supervised({30, 50, 77}, 0.0, 0.01, seed=1)
    run = server.run(100)
    assert {outcome.row for outcome in run.failed} == {30, 50, 77}
    assert len(run.outcomes) == 100
    assert server.crashes <= 50
