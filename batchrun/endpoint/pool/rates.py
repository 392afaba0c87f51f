"""Requests and tokens per minute: admission waits until both allow one more."""

from collections.abc import Callable

from aiolimiter import AsyncLimiter

from batchrun.records import Request

_BURST_S = 0.1
"""Seconds' worth of a rate that may go out at once: smooth enough for servers that allow hardly a burst."""

_LEARNING_RATE = 0.05
"""How far one answer moves the factor between expected and stated tokens: the mean of about the last twenty."""


def _by_bytes(request: Request) -> float:
    return len(request.body) / 4


class Rates:
    """Both rates of a run; either may be absent."""

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        tokens_of: Callable[[Request], float] = _by_bytes,
    ) -> None:
        """Begin.

        Args:
            requests_per_minute: None without a rate.
            tokens_per_minute: None without a rate.
            tokens_of: about how many tokens a request's prompt has; the answers of the run correct it.
        """
        self._requests = _limiter(requests_per_minute, unit=1)
        self._tokens = _limiter(tokens_per_minute, unit=0)
        self._tokens_of = tokens_of
        self._factor = 1.0  # tokens that answers stated, prompt and answer, to what was expected of the prompt

    @property
    def are_set(self) -> bool:
        """Whether there is any rate to keep."""
        return self._requests is not None or self._tokens is not None

    def learn(self, request: Request, total_tokens: int | None) -> None:
        """Learn from the answer to a request how many tokens one like it uses, answer included."""
        if total_tokens is not None and self._tokens is not None:
            self._factor += _LEARNING_RATE * (total_tokens / max(self._tokens_of(request), 1.0) - self._factor)

    async def wait(self, request: Request) -> None:
        """Wait until this request may be sent too, and count it."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            expected = max(1.0, self._tokens_of(request) * self._factor)
            while expected > 0:  # a request may be larger than a burst: it takes several
                share = min(expected, self._tokens.max_rate)
                await self._tokens.acquire(share)
                expected -= share


def _limiter(per_minute: int | None, *, unit: int) -> AsyncLimiter | None:
    """Return a leaky bucket of which no minute sees more than `per_minute`, its burst included.

    Args:
        per_minute: how much may leave in any 60 s.
        unit: what leaves at once at least; the bucket is full again when the minute of the first one is over.
    """
    if per_minute is None:
        return None
    burst = max(1.0, per_minute * _BURST_S / 60)
    refill_per_s = max(per_minute - burst + unit, per_minute / 2) / 60
    return AsyncLimiter(burst, burst / refill_per_s)
