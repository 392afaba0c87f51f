"""Holds requests back until the user's rates allow one more. The only waiting by rates."""

from aiolimiter import AsyncLimiter

from batchrun.endpoint.pool.rates import Bucket, Rates
from batchrun.records import Request


class Gate:
    """Lets requests through one after the other."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._requests = _limiter(rates.requests)
        self._tokens = _limiter(rates.tokens)

    async def wait(self, request: Request) -> None:
        """Wait until one more request may be sent, and count it."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None and self._rates.tokens is not None:
            for portion in self._rates.tokens.portions(self._rates.expected_tokens(request)):
                await self._tokens.acquire(portion)


def _limiter(bucket: Bucket | None) -> AsyncLimiter | None:
    return None if bucket is None else AsyncLimiter(bucket.burst, bucket.period_s)
