"""Which request is sent next, if any. Pure: the time and what is in flight are arguments.

In order: while a rate was exceeded, nothing; while admission has paused, one probe at a time; else what is due to be
sent again, then what was never sent. The budget has the last word.
"""

from collections.abc import Callable

from batchrun.pool.backlog import Backlog, Work
from batchrun.pool.budget import Budget
from batchrun.pool.health import Health
from batchrun.pool.limits import Limit
from batchrun.records import Request

_READY = 64
"""Fewest requests that should be ready to send; more when the limit is higher."""

_WAITING = 4
"""How many requests may wait to be sent again, in times the ceiling, before no fresh ones are taken."""


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
        self.backlog = Backlog(max_attempts)
        self.is_fed = False
        """Whether the last fresh request has come."""
        self.closed_until_s = 0.0
        """Until when a rate that was exceeded keeps everything back."""
        self.look_again_s: float | None = None
        """When there may be something to send that is not now; set by `next`."""
        self.is_out_of_budget = False
        """Whether `next` found a request that the budget does not allow."""
        self._canary = canary
        self._probe: Work | None = None

    @property
    def is_hungry(self) -> bool:
        """Whether more fresh requests should come."""
        return self.backlog.fresh <= _READY or self.backlog.fresh <= self.limit.current

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left, and nothing to come."""
        return self.is_fed and not self.backlog.fresh and not self.backlog.again

    def next(self, in_flight: int, now_s: float) -> Work | None:
        """Return the request to send now; None when there is no slot for it, or no request."""
        self.look_again_s = None
        if in_flight >= self.limit.current:
            return None
        if self.backlog.again or self.health.pause is not None or self.closed_until_s:
            work = self._next_in_trouble(now_s)
        else:
            work = self.backlog.take_fresh()
        if work is None or self.budget is None or self._afford(work, self.budget, now_s):
            return work
        return None

    def ends_probe(self, work: Work) -> bool:
        """Note that an attempt has ended; return whether it was the probe."""
        if work is not self._probe:
            return False
        self._probe = None
        return True

    def _next_in_trouble(self, now_s: float) -> Work | None:
        if self.closed_until_s > now_s:
            self.look_again_s = self.closed_until_s
            return None
        self.closed_until_s = 0.0
        if self.health.pause is None:
            work = self.backlog.take_due(now_s)
            if work is None:
                self.look_again_s = self.backlog.due_s
                return self.backlog.take_fresh() if self.backlog.again < _WAITING * self.limit.ceiling else None
            if not self._is_last_chance(work):
                return work
            self.backlog.put(work, now_s)
            self.health.doubt(work.kind, work.message, now_s)
        return self._next_probe(now_s)

    def _is_last_chance(self, work: Work) -> bool:
        """Return whether the row is at its end if its failures since the last success are its own: find out first."""
        suspected = self.health.suspects.get(work, 0)
        return bool(suspected) and work.spent + suspected >= work.allowed

    def _next_probe(self, now_s: float) -> Work | None:
        """Return the request that finds out whether the endpoint answers again."""
        if self._probe is not None:
            return None
        if now_s < self.health.probe_at_s:
            self.look_again_s = self.health.probe_at_s
            return None
        self._probe = self.backlog.take_fresh() or self.backlog.take_where(
            lambda work: work not in self.health.suspects
        )
        if self._probe is None and self.is_fed:
            suspect = next(iter(self.backlog), None)
            if suspect is not None:
                self._probe = Work(self._canary(suspect.request.model), suspect.max_attempts, is_canary=True)
        return self._probe

    def _afford(self, work: Work, budget: Budget, now_s: float) -> bool:
        work.reserve = budget.reserve(work.request)
        self.is_out_of_budget = work.reserve is None
        if work.reserve is not None:
            return True
        self.ends_probe(work)
        if not work.is_canary:
            self.backlog.put(work, now_s)
        return False
