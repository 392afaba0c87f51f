"""Sends the requests of one endpoint: its workers, its rates, and what is in flight there.

A worker is a task that holds one slot: it sends a request, has it settled, takes the next, and ends when there is
nothing to take. The only awaits are in `_worker` and `pacing`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from math import inf

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.attempts import Attempts
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.gate import Gate
from batchrun.endpoint.pool.handover import is_wanted_elsewhere, leave
from batchrun.endpoint.pool.pacing import Pacing
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.settlement import Settlement
from batchrun.endpoint.pool.shared import Shared
from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.records import LaneState, Stop

_FEED_EVERY = 16
"""Looks for something to send between two checks whether more requests should come: a quarter of what is ready."""


class Sender:
    """Sends requests to one endpoint, as many at once as its limit allows."""

    def __init__(self, route: Route, shared: Shared) -> None:
        self.name, self.limit = route.name, route.limit
        rules, listeners = route.rules, shared.listeners
        self._shared, self._supply, self._may_admit = shared, shared.supply, shared.places.may_admit
        self._on_flight, self._fill = listeners.on_flight, shared.fill
        self._client = route.sending_client
        self._strict = rules.strict
        self.rates: Rates | None = rules.rates if rules.rates is not None and rules.rates.are_set else None
        """The user's rates; None where there are none."""
        self.admission = Admission(
            route.limit,
            shared.supply,
            endpoint=route.name,
            budget=rules.budget,
            canary=rules.canary,
            proven=rules.answered,
            is_heard=rules.is_heard,
            has_own_rates=rules.rates is not None and rules.rates.are_own,
        )
        self.attempts = Attempts(self._client, self.admission, listeners.on_event)
        self._settlement = Settlement(
            self.admission,
            shared.closure,
            rules,
            listeners,
            endpoint=route.name,
            is_alone=shared.is_alone,
            uniform=shared.uniform,
            unix_s=shared.unix_s,
        )
        self.sent_s = -inf
        """When a request was last sent there; -inf before the first."""
        self._is_stopping = False
        self._looks = 0  # for something to send
        self._pacing = Pacing(
            self._next,
            self._start,
            on_waiting=(lambda: None) if shared.is_alone else shared.supply.wake,  # another endpoint may take it
            on_idle=shared.finish_if_done,
        )

    def __repr__(self) -> str:
        return f"<Sender {self.name!r}, {self.in_flight} in flight, {self.limit!r}>"

    # What is known about the endpoint.

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self.admission.in_flight

    @property
    def use(self) -> float:
        """The share of the slots that are in use."""
        return self.admission.use

    @property
    def claimed(self) -> int:
        """How many requests are in flight, or wait for a rate."""
        return self.admission.in_flight + (self._pacing.waiting is not None)

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight, or waits for a rate."""
        return self.claimed > 0

    @property
    def is_heard(self) -> bool:
        """Whether the endpoint has ever replied, with whatever status."""
        return self.admission.is_heard

    @property
    def answered(self) -> list[str]:
        """The models that have answered a row there, also in earlier executions."""
        return [lane.model for lane in self.admission.lanes if lane.is_proven]

    @property
    def lanes(self) -> list[LaneState]:
        """The state of each model that was asked for there."""
        admission = self.admission
        paused = {each.model: admission.is_spent or each.health.pause is not None for each in admission.lanes}
        return [LaneState(each.model, each.is_closed, paused[each.model]) for each in admission.lanes]

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return self._settlement.throttled

    @property
    def closed(self) -> Mapping[str, Stop]:
        """The models that nothing more is sent to there, and why."""
        return self._shared.closure.at(self.name)

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent there, of a model or at all; None when requests are sent."""
        if self.admission.is_spent:
            return "the cap leaves no room for its prices"
        is_closed = self.admission.pace.is_closed(self._loop.time())
        return self._settlement.absence.reason or ("a rate was exceeded" if is_closed else None)

    @property
    def is_away(self) -> bool:
        """Whether every model there that is not closed is paused."""
        pauses = [lane.health.pause for lane in self.admission.lanes if not lane.is_closed]
        return bool(pauses) and None not in pauses

    def report_pauses(self) -> None:
        """Report each model that is paused there, as the run ends without it."""
        self._settlement.absence.report_all(self._loop.time())

    @property
    def since_s(self) -> float | None:
        """Since when a model has been away there; None when none is."""
        return self._settlement.absence.since_s

    @property
    def probe_s(self) -> float | None:
        """When a paused model may be asked next whether it answers again; None when none is paused."""
        return self._settlement.absence.probe_s

    @property
    def next_probe_s(self) -> float | None:
        """When one will be asked next; None also while it is being asked."""
        return self._settlement.absence.next_probe_s(self._loop.time())

    @property
    def is_late(self) -> bool:
        """Whether all that is in flight there takes longer than usual."""
        return self.attempts.are_late(self._loop.time())

    # What the pool asks for.

    def begin(
        self, group: asyncio.TaskGroup, loop: asyncio.AbstractEventLoop, gate: Gate | None
    ) -> Iterable[asyncio.Task[None]]:
        """Prepare to send; return the tasks to be cancelled at the end of the run.

        Args:
            group: gets the tasks.
            loop: has the clock.
            gate: holds requests back until the rates allow them; None without rates.
        """
        self._group, self._loop = group, loop
        return [] if gate is None else [group.create_task(self._pacing.run(gate))]

    def fill(self) -> None:
        """Start workers while there are slots and something to send."""
        while self.start():
            pass

    def start(self) -> bool:
        """Start one worker; return whether there was a slot and something to send."""
        if self.rates is not None:
            self._pacing.look()  # which starts them
            return False
        work = self._next()
        if work is None:
            return False
        self._start(work)
        return True

    def stop(self, stop: Stop) -> list[Work]:
        """Send nothing more; return the rows in flight."""
        self._is_stopping = True
        if (work := self._pacing.take_back()) is not None:
            self.admission.give_back(work, self._loop.time())
        self.attempts.begin_drain(is_hopeless=stop.kind == UNHEARD)
        return [work for work in self.attempts if not work.is_canary]

    def leave_to_others(self) -> None:
        """Leave to other endpoints the rows that wait at models which are away, and one that waits for a rate."""
        now_s, waiting = self._loop.time(), self._pacing.waiting
        if waiting is not None and self.rates is not None and self.rates.are_own:
            lane = self.admission.lane(waiting.request.model)
            if not waiting.is_canary and is_wanted_elsewhere(lane, now_s) and self._pacing.take_back():
                self.admission.give_back(waiting, now_s)
                lane.backlog.take_where(lambda work: work is waiting)
                leave(lane, waiting)
        again_s = self._settlement.leave_to_others(now_s)
        if again_s is not None:
            self._shared.alarm.set(again_s)

    def leave(self) -> None:
        """Report the attempts of all rows that stay open."""
        self._settlement.leave(self.attempts)

    def look(self) -> None:
        """Report pauses that last, and end what has lasted too long; call it every few moments."""
        self._settlement.patience.look(self._loop.time())

    def give_up_stragglers(self) -> None:
        """End attempts that take much longer than all others, when nothing else is left to send."""
        again_s = self.attempts.give_up_stragglers(self._loop.time())
        if again_s is not None:
            self._shared.alarm.set(again_s)

    # Waiting.

    async def _worker(self, work: Work) -> None:
        task = asyncio.current_task()
        attempts, admission = self.attempts, self.admission  # read once for many rows
        while True:
            attempts.begin(work, task)
            result = await self._client.send(work.request.body, work.request.kind)
            attempts.end(work)
            lane = admission.returned(work)
            self._settlement.settle(lane, work, result, self._loop.time())
            may_keep = self.rates is None and self._shared.places.may_keep(self, self._loop.time())
            following = self._next() if may_keep else None
            if following is None:
                self._on_flight(admission.in_flight_rows)
                self._fill()
                return
            work = following
            self._send(work)
            if admission.in_flight < self.limit.current:
                self._fill()

    # Deciding, without waiting.

    def _start(self, work: Work) -> None:
        self._send(work)
        self._group.create_task(self._worker(work))

    def _send(self, work: Work) -> None:
        """Take a slot for a request that is about to be sent."""
        if self._strict is not None:
            self._strict.adjust(work)
        admission = self.admission
        admission.sent(work)
        work.attempts += 1
        work.sent_s = self.sent_s = now_s = self._loop.time()
        work.level = admission.in_flight
        admission.pace.sent(now_s)
        self._on_flight(admission.in_flight_rows)

    def _next(self) -> Work | None:
        """Return what may be sent now, or None."""
        if self._is_stopping or not self._may_admit():
            return None
        work = self.admission.next(self._loop.time())
        self._looks += 1
        if work is None:
            self._note_idle()
        elif self._looks % _FEED_EVERY == 0 and self._supply.is_hungry:
            self._shared.feed()
        return work

    def _note_idle(self) -> None:
        """Have more requests read if there are free slots, and look again when something is due."""
        admission = self.admission
        if admission.in_flight < self.limit.current and self._supply.is_hungry:
            self._shared.feed()
        if admission.look_again_s is not None:
            self._shared.alarm.set(admission.look_again_s)
