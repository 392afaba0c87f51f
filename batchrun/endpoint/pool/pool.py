"""The asyncio pool: has all requests of a run sent, to one endpoint or to several, and drains when it is stopped.

Theory of operation. Each endpoint has a `Sender` with workers of its own: tasks that hold one slot each. Rows that wait
hold neither task nor slot. `Admission` decides what an endpoint is sent next, `Settlement` what becomes of an answer;
both are synchronous. The only awaits are here in `run` and `_feed`, and two in `sender`. `_fill` starts workers while
there are slots and something to send. It is called whenever one of the two may have changed: a batch arrived, a row
fell due, a limit grew, a pause ended, the checkpoint caught up.

Whatever is learned about an endpoint holds for that endpoint alone: its limit, its rates, which models answer there.
Only the rows are shared. Fresh rows of a model stand in one queue, from which each endpoint that serves the model takes
as many as it has slots for. So a fast endpoint takes more than a slow one, and none has rows in the end that another
would have time for. Where there are fewer rows than slots, the endpoint that is used least takes the next.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from random import random

from batchrun.endpoint.pool.alarm import Alarm
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.closure import Closure
from batchrun.endpoint.pool.flight import Flight
from batchrun.endpoint.pool.gate import gates_of
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.places import Places, in_turn
from batchrun.endpoint.pool.room import Sibling
from batchrun.endpoint.pool.route import Route, serving
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.sender import Sender
from batchrun.endpoint.pool.shared import Shared
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.endpoint.pool.supply import Supply
from batchrun.records import Request, Stop


class Pool:
    """Sends requests, as many at once as the limits allow, until each has its outcome."""

    def __init__(
        self,
        routes: Sequence[Route],
        listeners: Listeners,
        *,
        ceiling: int | None = None,
        may_admit: Callable[[], bool] = lambda: True,
        on_stuck: Callable[[Stop], None] | None = None,
        elsewhere: Callable[[str], Sequence[Sibling]] | None = None,
        uniform: Callable[[], float] = random,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `run` starts.

        Args:
            routes: the endpoints, at least one; their names differ.
            listeners: what to report to.
            ceiling: most requests in flight at all endpoints together; None where their limits are enough.
            may_admit: asked before each request; False while the checkpoint is behind. Call `wake` when that changes.
            on_stuck: takes the reason when nothing more can be sent to anybody. Unless given, the pool stops.
            elsewhere: see `Supply`; None: no other machine sends to endpoints of its own.
            uniform: source of numbers in [0, 1).
            unix_s: the clock of `finished_at` and of HTTP dates; waiting goes by the loop's clock.
        """
        rules = routes[0].rules
        self._on_stuck = on_stuck or self.stop
        self.stopping: Stop | None = None
        self._is_alone = len(routes) == 1 and elsewhere is None
        self._supply = Supply(rules.policy.max_attempts, partial(self._open_lanes, routes), self.wake, elsewhere)
        self._closure = Closure(self._supply, rules.models, listeners.on_event, self._on_stuck)
        self._alarm, self._places = Alarm(self.wake), Places(ceiling, may_admit)
        self._drained: list[Work] = []  # in flight when it was stopped
        self._hungry, self._finished, self._is_waking = asyncio.Event(), asyncio.Event(), False
        shared = Shared(
            supply=self._supply,
            closure=self._closure,
            listeners=listeners,
            places=self._places,
            fill=self._fill,
            finish_if_done=self._finish_if_done,
            feed=self._hungry.set,
            alarm=self._alarm,
            is_alone=self._is_alone,
            uniform=uniform,
            unix_s=unix_s,
        )
        flight = Flight(listeners.on_flight)
        its = [shared] if len(routes) == 1 else [shared.heard_by(flight.at_one()) for _ in routes]
        self._places.claimants = self.routes = tuple(map(Sender, routes, its))
        """What is known about each endpoint."""

    def _open_lanes(self, routes: Sequence[Route], queue: SharedQueue) -> list[Lane]:
        names = {route.name for route in serving(routes, queue.model)}
        return [sender.admission.open(queue) for sender in self.routes if sender.name in names]

    def __repr__(self) -> str:
        state = "stopping" if self.stopping else "paused" if self.trouble else "open"
        limits = ", ".join(repr(sender.limit) for sender in self.routes)
        return f"<Pool {state}, {self.in_flight} in flight, {self.waiting} waiting, {limits}>"

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return sum(sender.in_flight for sender in self.routes)

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent again."""
        return self._supply.waiting

    @property
    def fresh(self) -> int:
        """How many requests were never sent."""
        return self._supply.fresh

    def drain_s(self, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long a run that is stopped now, or was stopped, waits at most; see `Drain.most_s`."""
        now_s = self._loop.time()
        return max(sender.attempts.most_s(now_s, timeout_s, is_stream=is_stream) for sender in self.routes)

    @property
    def is_late(self) -> bool:
        """Whether all that is left is in flight and takes longer than usual: rates say nothing about its end."""
        busy = [sender for sender in self.routes if sender.in_flight]
        return self._supply.is_sent and bool(busy) and all(sender.is_late for sender in busy)

    @property
    def drained(self) -> tuple[int, int]:
        """How many requests were in flight when the pool was stopped, and how many of these have no outcome."""
        return len(self._drained), sum(not work.is_settled for work in self._drained)

    @property
    def is_heard(self) -> bool:
        """Whether any endpoint has ever replied, with whatever status."""
        return any(sender.is_heard for sender in self.routes)

    @property
    def closed(self) -> Mapping[str, Stop]:
        """The models that nothing more is sent to, wherever they are served, and why."""
        return self._closure.stops

    @property
    def has_more(self) -> bool:
        """Whether anything is left to send in addition to what is in flight."""
        return not self._supply.is_exhausted

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return sum(sender.throttled for sender in self.routes)

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent, to an endpoint or of a model; None when requests are sent."""
        troubles = {sender.name: sender.trouble for sender in self.routes}
        if len(troubles) == 1:
            return next(iter(troubles.values()))
        return "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items() if trouble is not None) or None

    @property
    def is_away(self) -> bool:
        """Whether every model that is not closed is paused at every endpoint that serves it."""
        pauses = [lane.health.pause for lane in self._supply.lanes if not lane.is_closed]
        return bool(pauses) and None not in pauses

    @property
    def away_s(self) -> float | None:
        """For how long a model has been away; None when none is."""
        since_s = min((each.since_s for each in self.routes if each.since_s is not None), default=None)
        return None if since_s is None else self._loop.time() - since_s

    @property
    def probe_in_s(self) -> float | None:
        """In how many seconds a paused model is asked next whether it answers again; None while it is being asked."""
        if self.stopping is not None:
            return None
        probes_s = [each.next_probe_s for each in self.routes]
        probe_s = min((each for each in probes_s if each is not None), default=None)
        return None if probe_s is None else max(0.0, probe_s - self._loop.time())

    def look(self) -> None:
        """Report pauses that last, and end what has lasted too long; call it every few moments."""
        for sender in self.routes:
            if self.stopping is None:
                sender.look()

    async def run(self, batches: AsyncIterator[Sequence[Request]]) -> Stop | None:
        """Send every request of `batches`; return when each has its outcome, or when drained after `stop`.

        Returns why requests stay open: the reason to stop, or why models are closed. Raises what `batches`,
        `on_outcome` or a client raised; the requests in flight are cancelled then.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                tasks = [group.create_task(self._feed(batches))]
                for sender, gate in zip(self.routes, gates_of(each.rates for each in self.routes), strict=True):
                    tasks += sender.begin(group, self._loop, gate)
                try:
                    await self._finished.wait()
                finally:
                    self._finished.set()  # also when cancelled: `wake` starts nothing more
                    self._leave()
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._alarm.cancel()
        if self.stopping is None and len(self.routes) > 1:  # others have answered what waited there
            for sender in self.routes:
                sender.report_pauses()
        return self.stopping or self._closure.stop

    def stop(self, stop: Stop) -> None:
        """Send nothing more; `run` returns when all that is in flight is answered. The first reason is kept."""
        if self.stopping is None:
            self.stopping = stop
            self._drained = [work for sender in self.routes for work in sender.stop(stop)]
            if self.in_flight:
                self.wake()
            self._finish_if_done()

    def wake(self) -> None:
        """Look again for something to send; call it on the pool's event loop."""
        if not (self._finished.is_set() or self._is_waking):
            self._is_waking = True
            self._group.create_task(self._look_again())  # a task, so that what it raises comes out of `run`

    # Waiting: the only awaits besides those in `run`.

    async def _feed(self, batches: AsyncIterator[Sequence[Request]]) -> None:
        async for batch in batches:
            self._supply.extend(batch)
            self._fill()
            while not self._supply.is_hungry:
                self._hungry.clear()
                await self._hungry.wait()
        self._supply.is_fed = True
        self._fill()

    async def _look_again(self) -> None:
        self._is_waking = False
        self._fill()

    # Deciding, without waiting.

    def _fill(self) -> None:
        """Start workers while there are slots and something to send, at one endpoint after the other; see `places`."""
        if not self._is_alone:
            for sender in self.routes:
                sender.leave_to_others()
        if len(self.routes) == 1:
            self.routes[0].fill()
        else:
            while any(sender.start() for sender in in_turn(self.routes, self._loop.time())):
                pass
        self._finish_if_done()
        if self._supply.is_sent or self.stopping is not None:
            self._give_up()

    def _give_up(self) -> None:
        """End attempts that the end of the run need not wait for."""
        are_canaries = all(work.is_canary for sender in self.routes for work in sender.attempts)
        for sender in self.routes:
            sender.give_up_stragglers()
            if not self._is_alone and are_canaries and self._supply.is_exhausted:
                sender.attempts.give_up_canaries()

    def _finish_if_done(self) -> None:
        if any(sender.is_busy for sender in self.routes):
            return
        if self.stopping is None:
            self._stop_without_budget()
        if self.stopping is not None or self._supply.is_exhausted:
            self._finished.set()

    def _stop_without_budget(self) -> None:
        """Stop when the caps allow nothing more anywhere, and nothing that is in flight can leave some of it."""
        refused = [each.admission for each in self.routes if each.admission.is_out_of_budget]
        now_s, budget = self._loop.time(), refused[0].budget if refused else None
        if budget is None:
            return
        is_changed = any(each.pass_on_refused(now_s) for each in refused)
        if budget.is_whole and not is_changed:  # otherwise other processes may have more
            is_changed = any(each.part_refused() or each.wait_for_cheaper(now_s) for each in refused)
        if is_changed:
            self.wake()
        else:
            self._on_stuck(Stop(kind=budget.kind, message=budget.message, exit_code=5))

    def _leave(self) -> None:
        """Report the attempts of all rows that stay open."""
        for sender in self.routes:
            sender.leave()
        for queue in self._supply.queues:
            for work in queue:
                self._closure.leave_open(work, work.endpoint)
