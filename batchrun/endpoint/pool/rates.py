"""Requests and tokens per minute: admission waits until both allow one more."""

from aiolimiter import AsyncLimiter

_BURST_S = 0.1
"""Seconds' worth of a rate that may go out at once: smooth enough for servers that allow hardly a burst."""

_BYTES_PER_TOKEN = 4
"""Of a request's body, before any answer has told better. Source: OpenAI's rule of thumb for English."""


class Rates:
    """Both rates of a run; either may be absent."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests = _limiter(requests_per_minute, unit=1)
        self._tokens = _limiter(tokens_per_minute, unit=0)
        self._tokens_per_byte = 1 / _BYTES_PER_TOKEN

    @property
    def are_set(self) -> bool:
        """Whether there is any rate to keep."""
        return self._requests is not None or self._tokens is not None

    def told(self, body_bytes: int, total_tokens: int | None) -> None:
        """Learn from an answer how many tokens a request of this size comes to, answer included."""
        if total_tokens is not None and self._tokens is not None:
            self._tokens_per_byte += 0.05 * (total_tokens / max(body_bytes, 1) - self._tokens_per_byte)

    async def wait(self, body_bytes: int) -> None:
        """Wait until one more request of this size may be sent, and count it."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            expected = max(1.0, body_bytes * self._tokens_per_byte)
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
