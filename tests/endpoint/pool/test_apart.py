"""Rows that take the endpoint down each time, through the real pool on the virtual clock."""

import random
from collections import Counter, deque

import pytest
from harness.endpoints import Endpoint, lognormal
from harness.runs import Run, requests, send_all

from batchrun.endpoint.pool.apart import Apart, is_condemned
from batchrun.endpoint.pool.backlog import Backlog, Work
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Reply, RequestKind

SLOTS = 20


class Fragile:
    """A server that stops for a while when it has worked on one of some rows; all that is in flight is lost."""

    def __init__(self, killers: set[int], down_s: float, after_s: float = 0.01) -> None:
        self.sent: Counter[bytes] = Counter()
        self.crashes = 0
        self._killers, self._down_s, self._after_s = {b"row-%d" % row for row in killers}, down_s, after_s
        self._crashes_at_s: list[float] = []
        self.endpoint = Endpoint(lambda now_s: SLOTS, latency=lognormal(1.0))

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
        """Make one attempt."""
        import asyncio

        loop = asyncio.get_running_loop()
        self.sent[body] += 1
        if self._is_down(loop.time()):
            await asyncio.sleep(0.001)
            return Fault("connection", "refused", 0.001, was_sent=False)
        began_s = loop.time()
        if body in self._killers:
            await asyncio.sleep(self._after_s)
            if not self._is_down(loop.time()):
                self.crashes += 1
                self._crashes_at_s.append(loop.time())
            return Fault("connection", "cut", self._after_s)
        answer = await self.endpoint.send(body)
        if any(began_s <= crash_s for crash_s in self._crashes_at_s):
            return Fault("connection", "cut", loop.time() - began_s)
        return answer

    def _is_down(self, now_s: float) -> bool:
        return any(crash_s <= now_s < crash_s + self._down_s for crash_s in self._crashes_at_s)

    def run(self, rows: int, **settings: object) -> Run:
        return send_all(self, rows, **{"limit": Limit(100), **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [1, 10, 300])
@pytest.mark.parametrize("killers", [{0}, {3, 7}, {3, 50, 77}, {299}])
@pytest.mark.parametrize(("down_s", "after_s"), [(3.0, 0.01), (40.0, 0.01), (20.0, 3.0)])
@pytest.mark.parametrize("max_attempts", [1, 5])
def test_a_row_that_takes_the_server_down_each_time_fails_and_no_other_row_does(
    rows: int, killers: set[int], down_s: float, after_s: float, max_attempts: int
) -> None:
    """After a few crashes; each sound row is answered."""
    server = Fragile(killers & set(range(rows)), down_s, after_s)
    run = server.run(rows, policy=Policy(max_attempts=max_attempts, unheard_s=3_600.0))
    assert run.stop is None
    assert {outcome.row for outcome in run.failed} == killers & set(range(rows))
    assert len(run.outcomes) == rows
    assert all("stopped answering each time" in (outcome.error or "") for outcome in run.failed)
    assert server.crashes <= 20
    assert run.ended_s < 400 + 20 * down_s


def test_rows_that_are_in_flight_when_outages_begin_by_chance_do_not_fail() -> None:
    """Fifty short outages while long answers are under way."""

    def trouble(now_s: float, body: bytes) -> Reply | Fault | None:
        return Fault("connection", "refused", 0.01) if now_s % 20 > 14 and now_s < 1_000 else None

    chance = random.Random(3)
    endpoint = Endpoint(lambda now_s: SLOTS, lambda *_: chance.uniform(1, 9), trouble=trouble)
    run = send_all(endpoint, 1_500, limit=Limit(100), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == 1_500


def work(row: int = 0) -> Work:
    return Work(requests(row + 1)[row], 5)


def test_a_row_is_held_apart_after_two_outages_and_sent_when_others_have_been_answered() -> None:
    """As many as three, for as long as it survived; at once when nothing else is left."""
    apart, bad = Apart(deque()), work()
    apart.outage_ended([(bad, 5.0)], 10.0)
    assert not apart.is_for(bad)
    apart.outage_ended([(bad, 5.0)], 20.0)
    assert apart.is_for(bad)
    apart.hold(bad)
    for _ in range(3):
        assert apart.take(30.0, is_idle=False) is None
        apart.answered(work(1))
    assert apart.take(24.0, is_idle=False) is None
    assert apart.take(25.0, is_idle=False) is bad
    assert not apart.is_for(bad)
    apart.answered(bad)
    assert bad.beginnings == 0


def test_only_outages_that_begin_with_a_row_alone_on_trial_condemn_it() -> None:
    """From the second on nothing else is sent meanwhile. One that begins while it is held releases it."""
    apart, bad = Apart(deque()), work()
    for _ in range(2):
        apart.outage_ended([(bad, 0.0)], 10.0)
    apart.hold(bad)
    assert apart.take(11.0, is_idle=True) is bad
    for _ in range(2):
        apart.outage_ended([(bad, 0.0)], 12.0)
        assert not is_condemned(bad, 0.0)
        assert apart.alone is bad
        backlog = Backlog()
        backlog.put(bad, 12.0)
        assert apart.take_alone(backlog, 12.0) is bad
        assert apart.holds_others(1, 12.4)
    apart.outage_ended([(bad, 0.0)], 13.0)
    assert is_condemned(bad, 0.0)
    assert not apart.holds_others(0, 13.0)
    apart.hold(bad)
    assert list(apart.outage_ended([], 14.0)) == [bad]
    assert not is_condemned(bad, 0.0)


def test_rows_that_are_held_are_tried_as_many_at_a_time_as_the_square_root_of_their_number() -> None:
    """When an outage begins with such a group, each of its rows is tried by itself, before the others."""
    apart, rows = Apart(deque()), [work(row) for row in range(16)]
    for _ in range(2):
        apart.outage_ended([(row, 0.0) for row in rows], 10.0)
    for row in rows:
        apart.hold(row)
    group = [apart.take(11.0, is_idle=True) for _ in range(5)]
    assert group == [*rows[:4], None]
    apart.outage_ended([(row, 0.0) for row in rows[:4]], 12.0)
    assert apart.alone is None
    for row in rows[:4]:
        assert not row.trials
        apart.hold(row)
    first = apart.take(13.0, is_idle=True)
    assert first in rows[:4]
    assert apart.take(13.0, is_idle=True) is None


def test_a_row_that_pays_for_a_loss_that_others_shared_may_still_be_the_reason() -> None:
    """One of those that were lost together may have taken the others down; who fails by itself has not."""
    apart, bad = Apart(deque()), work()
    for _ in range(2):
        bad.is_shared = True
        apart.charged(bad)
    assert apart.is_for(bad)
    bad.is_shared = False
    apart.charged(bad)
    assert not apart.is_for(bad)
