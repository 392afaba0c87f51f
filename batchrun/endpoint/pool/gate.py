"""Holds requests back until the user's rates allow one more. The only waiting by rates."""

from collections.abc import Iterable

from aiolimiter import AsyncLimiter

from batchrun.endpoint.pool.rates import Bucket, Rates
from batchrun.records import Request


class Gate:
    """Lets requests through one after the other."""

    def __init__(self, rates: Rates, whole: "Gate | None" = None) -> None:
        """Begin.

        Args:
            rates: to keep.
            whole: the gate of all endpoints together, which comes after this one.
        """
        self._rates, self._whole = rates, whole
        self._requests = _limiter(rates.requests)
        self._tokens = _limiter(rates.tokens)

    async def wait(self, request: Request) -> None:
        """Wait until one more request may be sent, and count it."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None and self._rates.tokens is not None:
            for portion in self._rates.tokens.portions(self._rates.expected_tokens(request)):
                await self._tokens.acquire(portion)
        if self._whole is not None:
            await self._whole.wait(request)


def gates_of(rates: Iterable[Rates | None]) -> list[Gate | None]:
    """Return the gate of each endpoint; None for those without rates. The gate of all together is one."""
    rates = list(rates)
    wholes = {each.whole: Gate(each.whole) for each in rates if each is not None and each.whole is not None}

    def gate(each: Rates) -> Gate:
        return Gate(each, None if each.whole is None else wholes[each.whole])

    return [None if each is None else gate(each) for each in rates]


def _limiter(bucket: Bucket | None) -> AsyncLimiter | None:
    return None if bucket is None else AsyncLimiter(bucket.burst, bucket.period_s)
