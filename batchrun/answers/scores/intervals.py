"""95 % intervals of mean scores, computed from sums, for prompts with one or more samples each. Pure."""

import math
from typing import NamedTuple

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """The 95 % confidence interval of the mean over all prompts of this kind."""

    low: float
    high: float


class Spread:
    """Sums over prompts that give mean and interval. Samples of one prompt are alike: they count less than prompts.

    Scores are summed as differences from the first score, to keep precision when they are large and close together.
    """

    def __init__(self) -> None:
        self.scores = 0
        self.prompts = 0
        self._origin = 0.0
        self._sum = 0.0
        self._sum_of_squares = 0.0  # of the prompts' sums
        self._sum_of_products = 0.0  # of the prompts' sums and counts
        self._sum_of_counts = 0  # squared

    def add(self, total: float, count: int) -> None:
        """Add a prompt: the sum of its samples' scores, and their number, at least one."""
        if not self.prompts:
            self._origin = total / count
        difference = total - count * self._origin
        self.scores += count
        self.prompts += 1
        self._sum += difference
        self._sum_of_squares += difference * difference
        self._sum_of_products += difference * count
        self._sum_of_counts += count * count

    @property
    def mean(self) -> float | None:
        """Of all scores; None without scores."""
        return self._origin + self._sum / self.scores if self.scores else None

    def _variance(self) -> float:
        """Return the variance of the mean; each prompt is one observation (Liang and Zeger, 1986)."""
        mean = self._sum / self.scores
        squares = self._sum_of_squares - 2 * mean * self._sum_of_products + mean * mean * self._sum_of_counts
        return max(0.0, squares) / self.scores**2

    def wilson(self) -> Interval | None:
        """Return the interval of scores that are all 0 or 1; None without scores.

        Wilson's interval, with the number of scores replaced by the effective sample size of survey statistics: the
        number of independent scores with the same variance. It lies between the numbers of prompts and scores.

        Source: Wilson, JASA 22 (1927); Dean and Pagano, J. Surv. Stat. Methodol. 3 (2015).
        """
        if self.mean is None:
            return None
        share = min(1.0, max(0.0, self.mean))
        variance = self._variance()
        if variance:
            count = min(max(share * (1 - share) / variance, self.prompts), self.scores)
        else:  # all right or all wrong: the likeness of samples is unknown; or all prompts are equally often right
            count = self.prompts if share in (0, 1) else self.scores
        shrink = 1 + Z * Z / count
        center = (share + Z * Z / (2 * count)) / shrink
        half = Z / shrink * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
        # The share lies inside, also at 0 and 1, where rounding would put it just outside.
        return Interval(min(share, max(0.0, center - half)), max(share, min(1.0, center + half)))

    def student(self) -> Interval | None:
        """Return the interval of all other scores, by Student's t; None with fewer than two prompts."""
        if self.mean is None or self.prompts < 2:
            return None
        freedom = self.prompts - 1
        half = t_quantile(freedom) * math.sqrt(self._variance() * self.prompts / freedom)
        return Interval(self.mean - half, self.mean + half)


_EXPANSION = (
    (Z**3 + Z) / 4,
    (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
    (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92_160,
)


def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to 0.2 %, for at least one degree of freedom.

    Source: Abramowitz and Stegun, 26.7.5; exact for one and two degrees, for which the expansion is too coarse.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    return sum((term / freedom**power for power, term in enumerate(_EXPANSION, start=1)), start=Z)
