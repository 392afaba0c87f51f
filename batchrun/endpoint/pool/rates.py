"""The user's rates, requests and tokens per minute: their shape, and what a request takes of them. Pure.

`gate` waits by them. A rate is a leaky bucket: a small burst may leave at once, then the bucket drains evenly.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from batchrun.records import Request

_BURST_S = 0.1
"""Seconds' worth of a rate that may leave at once: few enough for servers that allow hardly any burst."""

_LEARNING_RATE = 0.05
"""How far one answer moves the factor between expected and stated tokens: the mean of about the last twenty."""


class Bucket(NamedTuple):
    """A leaky bucket of which no minute sees more than its rate, its burst included."""

    burst: float
    """How much may leave at once."""
    per_s: float
    """How fast it drains."""

    @property
    def period_s(self) -> float:
        """How long a full bucket takes to drain."""
        return self.burst / self.per_s

    def portions(self, amount: float) -> Iterator[float]:
        """Yield an amount in portions that fit into the bucket: more than a burst takes several."""
        while amount > 0:
            portion = min(amount, self.burst)
            yield portion
            amount -= portion


def bucket(per_minute: int | None, *, unit: int) -> Bucket | None:
    """Return the bucket of a rate; None without a rate.

    Args:
        per_minute: the most that may leave in any 60 s.
        unit: the least that leaves at once; the first unit has drained when its minute is over.
    """
    if per_minute is None:
        return None
    burst = max(1.0, per_minute * _BURST_S / 60)
    return Bucket(burst, max(per_minute - burst + unit, per_minute / 2) / 60)


class Rates:
    """Both rates of an endpoint, or of all endpoints of a run together; either may be absent."""

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        tokens_of: Callable[[Request], float],
        whole: "Rates | None" = None,
    ) -> None:
        """Begin with nothing learned.

        Args:
            requests_per_minute: None without a rate.
            tokens_per_minute: None without a rate.
            tokens_of: about how many tokens a request's prompt has; the answers of the run correct it.
            whole: the rates of all endpoints together, which hold too.
        """
        self.whole = whole
        self.requests = bucket(requests_per_minute, unit=1)
        self.tokens = bucket(tokens_per_minute, unit=0)
        self._tokens_of = tokens_of
        self._factor = 1.0  # tokens that answers stated, prompt and answer, to what was expected of the prompt

    @property
    def are_set(self) -> bool:
        """Whether there is any rate to keep."""
        return self.are_own or (self.whole is not None and self.whole.are_set)

    @property
    def are_own(self) -> bool:
        """Whether the endpoint has rates in addition to those of all endpoints together."""
        return self.requests is not None or self.tokens is not None

    @property
    def has_tokens(self) -> bool:
        """Whether there is a rate of tokens to keep."""
        return self.tokens is not None or (self.whole is not None and self.whole.has_tokens)

    def expected_tokens(self, request: Request) -> float:
        """Return how many tokens a request is expected to use, its answer included; at least 1."""
        return max(1.0, self._tokens_of(request) * self._factor)

    def learn(self, request: Request, total_tokens: int | None) -> None:
        """Learn from the answer to a request how many tokens such a request uses; None teaches nothing."""
        if total_tokens is not None and self.tokens is not None:
            self._factor += _LEARNING_RATE * (total_tokens / max(self._tokens_of(request), 1.0) - self._factor)
        if self.whole is not None:
            self.whole.learn(request, total_tokens)
