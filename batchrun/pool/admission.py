"""Which request is sent next, if any. Pure: the time and what is in flight are arguments.

In order: while a rate was exceeded, nothing; while admission has paused, probes; else what is due to be sent again,
then what was never sent. A row whose failures would end it, were they its own, is kept back until somebody's success
has judged them; when there is nobody else, a probe must. The budget has the last word.
"""

from collections.abc import Callable

from batchrun.pool.backlog import Backlog, Work
from batchrun.pool.budget import Budget
from batchrun.pool.health import Health
from batchrun.pool.limits import Limit
from batchrun.pool.pace import Pace
from batchrun.records import Request

_READY = 64
"""Fewest requests that should be ready to send; more when the limit is higher."""

_WAITING = 4
"""How many requests may wait to be sent again, in times the ceiling, before no fresh ones are taken."""


_READY_BYTES = 32 << 20
_HELD_BYTES = 512 << 20
"""How much of request bodies may be ready to be sent, and be on the way or wait for another attempt: with images in
them a few hundred would fill the memory. One may always be sent."""


class Admission:
    """Chooses among the requests that no worker holds."""

    def __init__(
        self,
        limit: Limit,
        health: Health[Work],
        *,
        max_attempts: int,
        budget: Budget | None,
        canary: Callable[[str], Request],
    ) -> None:
        self.limit, self.health, self.budget = limit, health, budget
        self._max_attempts = max_attempts
        self.backlog = Backlog(max_attempts)
        self.in_flight_bytes = 0
        """Bodies of what is on its way; kept by whoever sends."""
        self.is_fed = False
        """Whether the last fresh request has come."""
        self.pace = Pace()
        """How fast, where the server has a rate."""
        self.look_again_s: float | None = None
        """When there may be something to send that is not now; set by `next`."""
        self.is_out_of_budget = False
        """Whether `next` found a request that the budget does not allow."""
        self._canary = canary
        self._probes: set[Work] = set()  # under way

    @property
    def is_hungry(self) -> bool:
        """Whether more fresh requests should come."""
        fresh = self.backlog.fresh
        if self.backlog.fresh_bytes >= _READY_BYTES:
            return not fresh
        return fresh <= _READY or fresh <= self.limit.current

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left, and nothing to come."""
        return self.is_fed and not (self.backlog.fresh or self.backlog.again or self.backlog.parked)

    def next(self, in_flight: int, now_s: float) -> Work | None:
        """Return the request to send now; None when there is no slot for it, or no request."""
        self.look_again_s = None
        self.is_out_of_budget = False
        if in_flight >= self.limit.current:
            return None
        if self.pace.rate_per_s is not None and (opens_s := self.pace.opens_s(now_s)) is not None:
            self.look_again_s = opens_s
            return None
        if self.backlog.again or self.backlog.parked or self.health.pause is not None:
            work = self._next_in_trouble(in_flight, now_s)
        else:
            work = self._take_fresh(in_flight)
        if work is None or self.budget is None or self._afford(work, self.budget, now_s):
            return work
        return None

    def ends_probe(self, work: Work) -> bool:
        """Note that an attempt has ended; return whether it was a probe."""
        if work not in self._probes:
            return False
        self._probes.remove(work)
        return True

    def _next_in_trouble(self, in_flight: int, now_s: float) -> Work | None:
        if self.health.pause is None:
            work = self.backlog.take_due(now_s)
            if work is not None:
                return work
            self.look_again_s = self.backlog.due_s
            if self.backlog.again + self.backlog.parked < _WAITING * self.limit.ceiling:
                work = self._take_fresh(in_flight)
            if work is not None or in_flight or self.backlog.again or not self.backlog.parked:
                return work
            if not self.backlog.fresh and not self.is_fed:
                return None  # more is to come, and may tell
            kept_back = next(iter(self.backlog))
            self.health.doubt(kept_back.kind, kept_back.message, now_s)
        return self._next_probe(now_s)

    def _take_fresh(self, in_flight: int) -> Work | None:
        is_full = self.in_flight_bytes + self.backlog.kept_bytes >= _HELD_BYTES
        return None if is_full and (in_flight or self.backlog.again) else self.backlog.take_fresh()

    def _next_probe(self, now_s: float) -> Work | None:
        """Return the request that finds out whether the endpoint answers again."""
        if now_s < self.health.probe_at_s:
            self.look_again_s = self.health.probe_at_s
            return None
        probe = self._make_canary() if self.health.wants_canary else None
        probe = probe or self.backlog.take_fresh() or self.backlog.take_where(self._is_unsuspected)
        if probe is None and self.is_fed:
            probe = self._make_canary()
        if probe is not None:
            self._probes.add(probe)
            self.health.probed(now_s)
        return probe

    def _is_unsuspected(self, work: Work) -> bool:
        return work not in self.health.suspects

    def _make_canary(self) -> Work | None:
        """Return a request that is no row's, for the model of a suspect; one at a time."""
        suspect = next(iter(self.backlog), None)
        if suspect is None or any(work.is_canary for work in self._probes):
            return None
        return Work(self._canary(suspect.request.model), self._max_attempts, is_canary=True)

    def _afford(self, work: Work, budget: Budget, now_s: float) -> bool:
        work.reserve = budget.reserve(work.request)
        self.is_out_of_budget = work.reserve is None
        if work.reserve is not None:
            return True
        self.ends_probe(work)
        if not work.is_canary:
            self.backlog.put(work, now_s)
        return False
