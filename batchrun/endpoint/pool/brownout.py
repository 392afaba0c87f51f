"""What a failure weighs while the endpoint works for only some of the attempts. Pure.

Where seven attempts in ten fail by chance, a sound row fails five times in a row in one case of six: five failures
prove nothing. So a failure costs less the more attempts fail by *chance*, and a sound row is unlikely to pay in full.

Rows that fail for themselves fail at every attempt, and must not make their own failures cheaper. What tells the two
apart is the second attempt of the rows whose first has failed. With p the share of bad rows, and c the chance that an
attempt of a sound one fails, the first attempt fails for f = p + (1-p)c of all rows, and the second works for
g = (1-p)c(1-c) / f of these. So c = fg / (1-f): zero where no second attempt works, and f where there are no bad rows.

Where so many fail by chance, outages seem to begin by chance too, also while a row is tried alone (`apart`). For that
question only failures count that no outage explains.
"""

from math import log

_MEMORY = 1 / 128
"""Weight of the newest first attempt in the mean: a brown-out shows after some two hundred rows."""

_MEMORY_OF_SECOND = 1 / 32
"""The same of second attempts. They come later, and until then failures count as chance."""

_HARMLESS = 0.15
"""Share of failures by chance up to which each costs a whole attempt, as the user expects."""

_MAKES_OUTAGES = 0.5
"""Share of failures by chance from which outages seem to begin: below it, eight rows fail one after the other less than
once in 256 times."""

_CHANCE = 1e-5
"""Highest probability that chance alone makes a sound row fail."""


class Brownout:
    """The share of attempts that fail by chance, and what a failure weighs."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._failing = 0.0  # first attempts
        self._working = 1.0  # second attempts
        self._calm = 0.0  # of all attempts, those that failed and that no outage explains
        self._unexplained = 0  # failures since the last success

    def noted(self, attempt: int, *, works: bool) -> None:
        """Note that a row was answered at this attempt, or failed for a reason that may be the endpoint's.

        Args:
            attempt: its number, 1-based, without those that were rejected for a limit.
            works: whether the row was answered.
        """
        if works:
            for _ in range(self._unexplained):
                self._calm += (1.0 - self._calm) * _MEMORY
            self._calm -= self._calm * _MEMORY
        self._unexplained = 0 if works else self._unexplained + 1
        if attempt == 1:
            self._failing += ((not works) - self._failing) * _MEMORY
        elif attempt == 2:
            self._working += (works - self._working) * _MEMORY_OF_SECOND

    def explained(self) -> None:
        """Note that the failures since the last success came from an outage."""
        self._unexplained = 0

    @property
    def least_trials(self) -> float:
        """How many outages must begin with a row that is tried alone until that is not chance.

        By chance two attempts fail then: the row's, and the probe after it. 0 where chance alone makes few outages.
        """
        share = min(self._calm, 1.0 - _MEMORY)
        return log(_CHANCE) / (2 * log(share)) if share >= _MAKES_OUTAGES else 0.0

    @property
    def blames_rows(self) -> bool:
        """Whether many rows fail, and not by chance."""
        return self._failing > _HARMLESS and self.weight == 1.0

    @property
    def weight(self) -> float:
        """What a failure costs now, in attempts; in (0, 1]."""
        if self._failing <= _HARMLESS:
            return 1.0
        share = min(self._failing, self._failing * self._working / (1.0 - self._failing))
        return 1.0 if share <= _HARMLESS else min(1.0, self._max_attempts * log(share) / log(_CHANCE))
