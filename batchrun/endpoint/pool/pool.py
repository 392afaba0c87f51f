"""The asyncio pool: holds what is in flight, sends it, and drains when it is stopped.

Theory of operation. A *worker* is a task that holds one slot: it sends a request, has it settled, takes the next, and
ends when there is nothing to take. Rows that wait hold neither task nor slot. `Admission` decides what to send next,
`Settlement` what becomes of an answer; both are synchronous. The only awaits are in `run`, `_feed`, `_worker` and
`_pace`. `_fill` starts workers while there are slots and something to send. It is called whenever one of the two may
have changed: a batch arrived, a row fell due, the limit grew, a pause ended, the checkpoint caught up.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import random

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.alarm import Alarm
from batchrun.endpoint.pool.attempts import Attempts, Client
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.gate import Gate
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Listeners, Rules
from batchrun.endpoint.pool.settlement import Settlement
from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.records import Request, Stop

_FEED_EVERY = 16
"""Looks for something to send between two checks whether more requests should come: a quarter of what is ready."""


class Pool:
    """Sends requests, as many at once as the limit allows, until each has its outcome."""

    def __init__(
        self,
        client: Client,
        limit: Limit,
        rules: Rules,
        listeners: Listeners,
        *,
        may_admit: Callable[[], bool] = lambda: True,
        uniform: Callable[[], float] = random,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `run` starts.

        Args:
            client: makes one attempt.
            limit: how many requests may be in flight.
            rules: what to decide by.
            listeners: what to report to.
            may_admit: asked before each request; False while the checkpoint is behind. Call `wake` when that changes.
            uniform: source of numbers in [0, 1).
            unix_s: the clock of `finished_at` and of HTTP dates; waiting goes by the loop's clock.
        """
        self.limit = limit
        self._client = client
        self._may_admit = may_admit
        self._on_flight = listeners.on_flight
        self._strict = rules.strict
        self._rates = rules.rates if rules.rates is not None and rules.rates.are_set else None
        self._admission = Admission(
            limit,
            max_attempts=rules.policy.max_attempts,
            budget=rules.budget,
            canary=rules.canary,
            proven=rules.answered,
        )
        self._attempts = Attempts(client, self._admission, listeners.on_event)
        self._settlement = Settlement(self._admission, rules, listeners, stop=self.stop, uniform=uniform, unix_s=unix_s)
        self.stopping: Stop | None = None
        self._drained: list[Work] = []  # in flight when it was stopped
        self._pacing: Work | None = None  # waits for a rate; holds no slot
        self._alarm = Alarm(self.wake)
        self._hungry = asyncio.Event()
        self._looks = 0  # for something to send
        self._to_pace = asyncio.Event()
        self._finished = asyncio.Event()

    def __repr__(self) -> str:
        state = "stopping" if self.stopping else "paused" if self.trouble else "open"
        return f"<Pool {state}, {self.in_flight} in flight, {self.waiting} waiting, {self.limit!r}>"

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self._admission.in_flight

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent again."""
        return sum(lane.waiting for lane in self._admission.lanes)

    def drain_s(self, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long a run that is stopped now, or was stopped, waits at most; see `Drain.most_s`."""
        return self._attempts.most_s(self._loop.time(), timeout_s, is_stream=is_stream)

    @property
    def is_late(self) -> bool:
        """Whether all that is left is in flight and takes longer than usual: rates say nothing about its end."""
        return self._admission.is_sent and self._attempts.are_late(self._loop.time())

    @property
    def drained(self) -> tuple[int, int]:
        """How many requests were in flight when the pool was stopped, and how many of these have no outcome."""
        return len(self._drained), sum(not work.is_settled for work in self._drained)

    @property
    def is_heard(self) -> bool:
        """Whether the endpoint has ever replied, with whatever status."""
        return self._settlement.is_heard

    @property
    def answered(self) -> list[str]:
        """The models that have answered a row, also in earlier executions."""
        return [lane.model for lane in self._admission.lanes if lane.is_proven]

    @property
    def closed(self) -> Mapping[str, Stop]:
        """The models that nothing more is sent to, and why."""
        return self._settlement.closure.stops

    @property
    def has_more(self) -> bool:
        """Whether anything is left to send in addition to what is in flight."""
        return not self._admission.is_exhausted

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return self._settlement.throttled

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent, of a model or at all; None when requests are sent."""
        is_closed = self._admission.pace.is_closed(self._loop.time())
        return self._settlement.absence.reason or ("a rate was exceeded" if is_closed else None)

    @property
    def is_away(self) -> bool:
        """Whether every model that is not closed is paused."""
        pauses = [lane.health.pause for lane in self._admission.lanes if not lane.is_closed]
        return bool(pauses) and None not in pauses

    @property
    def away_s(self) -> float | None:
        """For how long a model has been away; None when none is."""
        since_s = self._settlement.absence.since_s
        return None if since_s is None else self._loop.time() - since_s

    @property
    def probe_in_s(self) -> float | None:
        """In how many seconds a paused model is asked next whether it answers again; None when none is paused."""
        probe_s = None if self.stopping is not None else self._settlement.absence.probe_s
        return None if probe_s is None else max(0.0, probe_s - self._loop.time())

    def look(self) -> None:
        """Report pauses that last, and end what has lasted too long; call it every few moments."""
        if self.stopping is None:
            self._settlement.look(self._loop.time())

    async def run(self, batches: AsyncIterator[Sequence[Request]]) -> Stop | None:
        """Send every request of `batches`; return when each has its outcome, or when drained after `stop`.

        Returns why requests stay open: the reason to stop, or why models are closed. Raises what `batches`,
        `on_outcome` or the client raised; the requests in flight are cancelled then.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                tasks = [group.create_task(self._feed(batches))]
                if self._rates is not None:
                    tasks.append(group.create_task(self._pace(Gate(self._rates))))
                try:
                    await self._finished.wait()
                finally:
                    self._finished.set()  # also when cancelled: `wake` starts nothing more
                    self._settlement.leave(self._attempts)
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._alarm.cancel()
        return self.stopping or self._settlement.closure.stop

    def stop(self, stop: Stop) -> None:
        """Send nothing more; `run` returns when all that is in flight is answered. The first reason is kept."""
        if self.stopping is None:
            self.stopping = stop
            if self._pacing is not None:
                self._admission.give_back(self._pacing, self._loop.time())
                self._pacing = None
            self._drained = [work for work in self._attempts if not work.is_canary]
            self._attempts.begin_drain(is_hopeless=stop.kind == UNHEARD)
            if self.in_flight:
                self.wake()
            self._finish_if_done()

    def wake(self) -> None:
        """Look again for something to send; call it on the pool's event loop."""
        if not self._finished.is_set():
            self._group.create_task(self._look_again())  # a task, so that what it raises comes out of `run`

    # Waiting: the only awaits besides those in `run`.

    async def _feed(self, batches: AsyncIterator[Sequence[Request]]) -> None:
        async for batch in batches:
            self._admission.extend(batch)
            self._fill()
            while not self._admission.is_hungry:
                self._hungry.clear()
                await self._hungry.wait()
        self._admission.is_fed = True
        self._fill()

    async def _worker(self, work: Work) -> None:
        task = asyncio.current_task()
        while True:
            self._attempts.begin(work, task)
            result = await self._client.send(work.request.body)
            self._attempts.end(work)
            lane = self._admission.returned(work)
            self._settlement.settle(lane, work, result, self._loop.time())
            following = self._next() if self._rates is None else None
            if following is None:
                self._on_flight(self.in_flight)
                self._fill()
                return
            work = following
            self._send(work)
            if self._admission.in_flight < self.limit.current:
                self._fill()

    async def _look_again(self) -> None:
        self._fill()

    async def _pace(self, gate: Gate) -> None:
        while True:
            self._to_pace.clear()
            while (work := self._next()) is not None:
                self._pacing = work
                await gate.wait(work.request)
                if self._pacing is None:
                    return  # stopped while it waited
                self._pacing = None
                self._start(work)
            self._finish_if_done()
            await self._to_pace.wait()

    # Deciding, without waiting.

    def _fill(self) -> None:
        """Start workers while there are slots and something to send."""
        if self._rates is not None:
            self._to_pace.set()  # `_pace` starts them
        else:
            while (work := self._next()) is not None:
                self._start(work)
        self._finish_if_done()
        if self._admission.is_sent or self.stopping is not None:
            again_s = self._attempts.give_up_stragglers(self._loop.time())
            if again_s is not None:
                self._alarm.set(again_s)

    def _start(self, work: Work) -> None:
        self._send(work)
        self._group.create_task(self._worker(work))

    def _send(self, work: Work) -> None:
        """Take a slot for a request that is about to be sent."""
        if self._strict is not None:
            self._strict.adjust(work)
        self._admission.sent(work)
        work.attempts += 1
        work.sent_s = self._loop.time()
        work.level = self._admission.in_flight
        self._admission.pace.sent(work.sent_s)
        self._on_flight(work.level)

    def _next(self) -> Work | None:
        """Return what may be sent now, or None."""
        if self.stopping is not None or not self._may_admit():
            return None
        admission = self._admission
        work = admission.next(self._loop.time())
        self._looks += 1
        is_idle = work is None and admission.in_flight < self.limit.current
        if (is_idle or self._looks % _FEED_EVERY == 0) and admission.is_hungry:
            self._hungry.set()
        if work is None:
            if admission.look_again_s is not None:
                self._alarm.set(admission.look_again_s)
            if admission.is_out_of_budget and self.in_flight == 0 and admission.budget is not None:
                self.stop(Stop(kind=admission.budget.kind, message=admission.budget.message, exit_code=5))
        return work

    def _finish_if_done(self) -> None:
        if self.in_flight == 0 and self._pacing is None and (self.stopping is not None or self._admission.is_exhausted):
            self._finished.set()
