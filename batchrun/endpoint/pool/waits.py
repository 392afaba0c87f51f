"""How long a request waits until it is sent again, and for how long a rate closes admission for all. Pure."""

from collections.abc import Callable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.pace import Pace
from batchrun.endpoint.pool.retry import Backoff, advised_s, backoff_s
from batchrun.endpoint.pool.verdicts import Effect, ForLimit, ForRun

_THROTTLED = Backoff(base_s=0.1, cap_s=2.0)
"""Waits of a row that found no slot. The limit holds it back, so the row itself need not wait long. Where the reply
names requests in flight, this caps advice too: LiteLLM asks for `Retry-After: 60` where a slot is free in 0.5 s."""

_RATE_LIMITED = Backoff(base_s=2.0, cap_s=60.0)
"""Waits of admission after a rate was exceeded and the server gave no time; rates count by the minute."""


class Waits:
    """Decides how long requests wait."""

    def __init__(
        self, pace: Pace, backoff: Backoff, *, uniform: Callable[[], float], unix_s: Callable[[], float]
    ) -> None:
        self._pace, self._backoff = pace, backoff
        self._uniform, self._unix_s = uniform, unix_s
        self._rate_limited = 0  # episodes in a row

    def answered(self) -> None:
        """Note a success: the next wait for a rate is short again."""
        self._rate_limited = 0

    def wait_s(self, work: Work, effect: Effect, now_s: float, *, is_alone: bool = False) -> float:
        """Return how long the request waits; after a rate was exceeded, how long all do, unless `is_alone`."""
        assert work.failure is not None
        result, verdict = work.failure
        advice = advised_s(result, verdict, self._unix_s())
        if effect.run is ForRun.WAITS and not is_alone:
            return self._close(advice, now_s)
        if effect.limit is ForLimit.DOWN:
            wait_s = backoff_s(work.throttled, _THROTTLED, self._uniform) if advice is None else advice
            return min(_THROTTLED.cap_s, wait_s) if verdict.is_slot else wait_s
        wait_s = backoff_s(max(work.setbacks, work.throttled if is_alone else 1), self._backoff, self._uniform)
        return wait_s if advice is None else max(advice, wait_s)

    def _close(self, advice: float | None, now_s: float) -> float:
        """Close admission for a while. Rejections while it is closed belong to the same episode."""
        wait_s = backoff_s(self._rate_limited + 1, _RATE_LIMITED, self._uniform) if advice is None else advice
        if self._pace.exceeded(now_s, 0.0 if advice is None and self._pace.is_given_up else wait_s):
            self._rate_limited += 1
        return wait_s
