"""A worker: the project's own pool, on rows that it is given, with the slots that it is given.

All goes through `exchange`, which the driver calls again and again. What was handed over is kept until the next call,
which shows that it has arrived: a call may be repeated.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.elsewhere import Danger
from batchrun.endpoint.pool.leased import LeasedPool
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.sender import Sender
from batchrun.engine.bad_rows import outcome_of
from batchrun.engine.cluster.bound import Bound
from batchrun.engine.cluster.keeper import Allowance
from batchrun.engine.cluster.leases import Leased
from batchrun.engine.cluster.messages import Orders, RouteWord, Word, unpack_rows
from batchrun.engine.cluster.shipping import Outbox
from batchrun.engine.cluster.till import NO_GRANT, books_of
from batchrun.prompts.rendering import Entry
from batchrun.records import BadRow, Event, Outcome, Request, Stop

_AT_ONCE = 256
"""Rows that are made requests of without a pause."""

_SIGN_OF_LIFE_S = 1.0
"""How long an exchange waits where there is nothing to report."""

LEASE_S = 2.0
"""How long a worker sends without being called. The driver lends its slots later than that."""


def only_requests(rows: Sequence[Leased]) -> list[Entry]:
    """Return what is a request already."""
    return [row for row in rows if isinstance(row, Request)]


class MakePool(Protocol):
    """Makes the pool of a worker."""

    def __call__(
        self,
        bounds: Mapping[str, Bound],
        listeners: Listeners,
        *,
        may_admit: Callable[[], bool],
        on_stuck: Callable[[Stop], None],
    ) -> LeasedPool:
        """Return a pool with these limits by endpoint; for the rest see `Pool`."""


class Worker:
    """One worker, in its event loop."""

    def __init__(
        self,
        make_pool: MakePool,
        ceilings: Mapping[str, int],
        *,
        budget: Budget | None = None,
        timeout_s: float,
        is_stream: bool = False,
        entries: Callable[[Sequence[Leased]], Iterable[Entry]] = only_requests,
    ) -> None:
        """Prepare; `begin` starts.

        Args:
            make_pool: makes its pool.
            ceilings: by endpoint, how many requests the worker may have in flight at most.
            budget: of its pool: what it may use, nothing at first.
            timeout_s: how long an attempt takes at most.
            is_stream: whether answers are streamed.
            entries: makes requests of rows, and says which have none.
        """
        self._entries = entries
        self._budget, self._timeout_s, self._is_stream = budget, timeout_s, is_stream
        self.incarnation = uuid4().hex
        self._urgent, self._some = asyncio.Event(), asyncio.Event()
        self._since_s = 0.0  # since when there is something to report
        self._bounds = {name: Bound(ceiling, self._urgent.set) for name, ceiling in ceilings.items()}
        listeners = Listeners(on_outcome=self._on_outcome, on_event=self._on_event)
        self._is_broke_known = False  # or will be by the next word
        if budget is not None:
            budget.on_refused = self._on_refused
        self._pool = make_pool(self._bounds, listeners, may_admit=self._may_admit, on_stuck=self._on_stuck)
        self._unanswered: Stop | None = None
        self._rows: asyncio.Queue[Sequence[Leased] | None] = asyncio.Queue()
        self._unread = 0  # rows in it that the pool has not taken yet
        self._dangers: dict[tuple[int, str, int], Danger] = {}  # of rows that were not read yet
        self._outbox = Outbox()
        self._events: list[Event] = []
        self._number = 0
        self._making: asyncio.Future[Word] | None = None  # the last exchange; its word is kept until the next

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self._pool.in_flight

    @property
    def unshipped(self) -> int:
        """How many outcomes the driver is not known to have."""
        return self._outbox.unshipped

    async def begin(self) -> str:
        """Start the pool; return the worker's incarnation."""
        self._loop = asyncio.get_running_loop()
        self._called_s = self._loop.time()
        self._task = asyncio.create_task(self._pool.run(self._batches()))
        self._task.add_done_callback(lambda task: self._urgent.set())
        return self.incarnation

    async def exchange(self, orders: Orders) -> Word:
        """Carry out orders, wait until there is something to report, and report it. Raises what the pool raised.

        A call that failed on its way is repeated, also while this exchange is still being made. It is made once.
        """
        self._renew()
        if orders.number > self._number:
            self._number = orders.number
            self._obey(orders)
            self._making = asyncio.ensure_future(self._made(orders.ship_s))
        assert self._making is not None
        return await asyncio.shield(self._making)

    async def _made(self, ship_s: float) -> Word:
        await self._wait(ship_s)
        self._renew()
        return self._word()

    def _renew(self) -> None:
        """Note a call, or the end of its wait; give up all slots if that was late: others may have them meanwhile.

        A wait ends late where the process was stopped, or its machine slept.
        """
        now_s = self._loop.time()
        if now_s - self._called_s > LEASE_S:
            for bound in self._bounds.values():
                bound.change(-bound.current)
        self._called_s = now_s

    def nudge(self) -> None:
        """End the wait of the exchange that is under way: the driver has something to tell."""
        self._urgent.set()

    async def end(self) -> None:
        """Give up what is in flight."""
        tasks: list[asyncio.Future[Any]] = [self._task, *([self._making] if self._making else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _obey(self, orders: Orders) -> None:
        self._pool.note_abroad(orders.abroad)
        self._outbox.agree(orders.terms)
        if orders.rows:
            rows = unpack_rows(orders.rows)
            self._unread += len(rows)
            self._rows.put_nowait(rows)
            self._dangers.update(orders.dangers)
        self._pool.note_dry(orders.is_dry)
        if orders.is_last:
            self._rows.put_nowait(None)
        for name, change in orders.grants.items():
            self._bounds[name].change(change)
        if self._budget is not None and orders.money != NO_GRANT:
            self._budget.allow(orders.money.change)
            self._is_broke_known = False
            if orders.money.parts:
                self._pool.part_refused()
        for model, stop in orders.closed.items():
            self._pool.close(model, stop)
        if orders.stop is not None:
            self._pool.stop(orders.stop)
        self._pool.wake()

    async def _wait(self, ship_s: float) -> None:
        """Wait for something to report: urgent news at once, outcomes at the age of `ship_s`, else a sign of life."""
        if self._urgent.is_set() or self._task.done():
            return
        urgent = asyncio.ensure_future(self._urgent.wait())
        some = asyncio.ensure_future(self._some.wait())
        try:
            if not self._some.is_set():
                await asyncio.wait((urgent, some), timeout=_SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED)
            left_s = self._since_s + ship_s - self._loop.time()
            if not self._urgent.is_set() and self._some.is_set() and left_s > 0:
                await asyncio.wait((urgent,), timeout=left_s)
        finally:
            urgent.cancel()
            some.cancel()

    def _word(self) -> Word:
        pool, is_done = self._pool, self._task.done()
        pool.look()
        left = [] if is_done else pool.hand_back()
        stop = self._task.result() if is_done else pool.stopping
        fresh = pool.fresh + self._unread
        wants_more = bool(fresh or pool.waiting) and pool.stopping is None
        is_broke = any(sender.admission.is_out_of_budget for sender in pool.routes)
        self._is_broke_known = is_broke
        events, self._events = self._events, []
        self._urgent.clear()
        self._some.clear()
        return Word(
            incarnation=self.incarnation,
            number=self._number,
            outcomes=self._outbox.ship(),
            events=events,
            routes={
                sender.name: _route_word(sender, self._bounds[sender.name], self._loop.time(), wants_more=wants_more)
                for sender in pool.routes
            },
            books=None if self._budget is None else books_of(self._budget, is_broke=is_broke, can_part=pool.can_part),
            fresh=fresh,
            waiting=pool.waiting,
            is_late=pool.is_late,
            drain_s=pool.drain_s(self._timeout_s, is_stream=self._is_stream),
            drained=pool.drained,
            closed=dict(pool.closed),
            unanswered=self._unanswered,
            is_done=is_done,
            stop=stop,
            left=left,
            given_up=pool.given_up,
        )

    async def _batches(self) -> AsyncIterator[Sequence[Request]]:
        while (rows := await self._rows.get()) is not None:
            for start in range(0, len(rows), _AT_ONCE):
                batch = rows[start : start + _AT_ONCE]
                entries = [*self._entries(batch)]
                for entry in entries:
                    if isinstance(entry, BadRow):
                        self._on_outcome(outcome_of(entry, int(time.time() * 1000)))
                self._unread -= len(batch)
                yield self._without_dangers([entry for entry in entries if isinstance(entry, Request)])

    def _without_dangers(self, requests: list[Request]) -> list[Request]:
        """Pass on the requests that may take servers down, with what is known about them; return the others."""
        if not self._dangers:
            return requests
        for each in requests:
            if (danger := self._dangers.get((each.row, each.model, each.sample))) is not None:
                self._pool.take_over(each, danger)
        keys = [(each.row, each.model, each.sample) for each in requests]
        return [each for key, each in zip(keys, requests, strict=True) if self._dangers.pop(key, None) is None]

    def _may_admit(self) -> bool:
        return self._outbox.has_room and self._loop.time() - self._called_s < LEASE_S

    def _on_outcome(self, outcome: Outcome) -> None:
        self._outbox.add(outcome)
        self._note_some()
        if self._outbox.is_due:
            self._urgent.set()

    def _on_event(self, event: Event) -> None:
        self._events.append(event)
        self._note_some()

    def _note_some(self) -> None:
        if not self._some.is_set():
            self._since_s = self._loop.time()
            self._some.set()

    def _on_refused(self) -> None:
        """Ask for more at once, also while requests are in flight: their answers may take long."""
        if not self._is_broke_known:
            self._is_broke_known = True
            self._urgent.set()

    def _on_stuck(self, stop: Stop) -> None:
        if self._budget is None or stop.kind != self._budget.kind:  # the driver knows whether there is more
            self._unanswered = stop
        self._urgent.set()


def _route_word(sender: Sender, bound: Bound, now_s: float, *, wants_more: bool) -> RouteWord:
    since_s, probe_s = sender.since_s, sender.next_probe_s
    return RouteWord(
        allowance=Allowance(bound.current, sender.in_flight, wants_more),
        news=bound.take_news(),
        throttled=sender.throttled,
        trouble=sender.trouble,
        is_heard=sender.is_heard,
        is_away=sender.is_away,
        away_s=None if since_s is None else now_s - since_s,
        probe_in_s=None if probe_s is None else max(0.0, probe_s - now_s),
        lanes=sender.lanes,
        answered=sender.answered,
        closed=dict(sender.closed),
    )
