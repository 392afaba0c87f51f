"""What a failure weighs while the endpoint works for only some of the rows. Pure.

Where seven requests in ten fail by chance, a sound row fails five times in a row in one case of six: five failures
prove nothing. So a failure costs less the more rows fail at their *first* attempt, and a sound row is unlikely to pay
in full. Only first attempts count, because requests that are sent again are those that failed before.
"""

from math import log

_MEMORY = 1 / 128
"""Share of the newest first attempt in the mean: a brown-out shows after some two hundred rows."""

_HARMLESS = 0.15
"""Share of failures up to which each costs a whole attempt, as the user expects. Twenty bad rows in a row stay below
it."""

_CHANCE = 1e-5
"""Highest probability that chance alone makes a sound row fail."""


class Brownout:
    """The share of rows whose first attempt fails, and what a failure weighs."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._share = 0.0

    def succeeded(self) -> None:
        """Note that a row's first attempt was answered."""
        self._share -= self._share * _MEMORY

    def failed(self) -> None:
        """Note that a row's first attempt failed for a reason that may be the endpoint's."""
        self._share += (1.0 - self._share) * _MEMORY

    @property
    def weight(self) -> float:
        """What a failure costs now, in attempts; in (0, 1]."""
        if self._share <= _HARMLESS:
            return 1.0
        return min(1.0, self._max_attempts * log(self._share) / log(_CHANCE))
