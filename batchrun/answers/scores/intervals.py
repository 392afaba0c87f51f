"""95 % intervals of means of scores, from sums alone, for prompts that may have several samples each."""

import math
from typing import NamedTuple

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """Where the mean over all prompts of this kind lies, with 95 % confidence."""

    low: float
    high: float


class Spread:
    """Sums over prompts, from which mean and interval come. Samples of one prompt are alike, and do not count as many.

    Scores are summed as differences from the first, for the sake of precision where they are large and close together.
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
        """Add a prompt: the sum of the scores of its samples, and how many those are, at least one."""
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
        """Of all scores; None when there are none."""
        return self._origin + self._sum / self.scores if self.scores else None

    def _variance(self) -> float:
        """Return the variance of the mean, of which one prompt is one observation (Liang and Zeger, 1986)."""
        mean = self._sum / self.scores
        squares = self._sum_of_squares - 2 * mean * self._sum_of_products + mean * mean * self._sum_of_counts
        return max(0.0, squares) / self.scores**2

    def wilson(self) -> Interval | None:
        """Return the interval of scores that are all 0 or 1; None without scores.

        Wilson's, with the number of scores replaced by the number of independent ones that would vary as much (the
        effective sample size of survey statistics): between prompts and scores; all scores when each prompt has one.

        Source: Wilson, JASA 22 (1927); Dean and Pagano, J. Surv. Stat. Methodol. 3 (2015).
        """
        if self.mean is None:
            return None
        share = min(1.0, max(0.0, self.mean))
        variance = self._variance()
        if variance:
            count = min(max(share * (1 - share) / variance, self.prompts), self.scores)
        else:  # all right or all wrong, where nobody can tell how alike samples are; or each prompt exactly as often
            count = self.prompts if share in (0, 1) else self.scores
        shrink = 1 + Z * Z / count
        center = (share + Z * Z / (2 * count)) / shrink
        half = Z / shrink * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
        # The share lies within, also where rounding would put it a hair outside: at 0 and at 1.
        return Interval(min(share, max(0.0, center - half)), max(share, min(1.0, center + half)))

    def student(self) -> Interval | None:
        """Return the interval of scores of any other kind, by Student's t; None with fewer than two prompts."""
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

    Source: Abramowitz and Stegun, 26.7.5; exact for one and two degrees, where the expansion is not good enough.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    return sum((term / freedom**power for power, term in enumerate(_EXPANSION, start=1)), start=Z)
