"""Differences between two sets of scores of the same prompts: mean, 95 % interval, wins and losses. Pure."""

import math

from batchrun.answers.scores.intervals import Interval, Z, t_quantile


class PairedScores:
    """Sums over prompts that were scored twice, A and B. Each prompt counts once, with the mean of its scores.

    A difference is B − A: above zero, B is better.
    """

    def __init__(self) -> None:
        self.prompts = self.wins = self.losses = 0
        """Prompts, those where B has the higher score, and those where A has it."""
        self._sum_a = self._sum_b = 0.0
        self._origin = self._sum = self._squares = 0.0
        self._are_shares = True

    def add(self, a: float, b: float) -> None:
        """Add one prompt with its two scores."""
        difference = b - a
        if not self.prompts:
            self._origin = difference
        self.prompts += 1
        self.wins += difference > 0
        self.losses += difference < 0
        self._sum_a += a
        self._sum_b += b
        self._sum += difference - self._origin
        self._squares += (difference - self._origin) ** 2
        self._are_shares = self._are_shares and 0 <= a <= 1 and 0 <= b <= 1

    @property
    def ties(self) -> int:
        """Prompts with the same score twice."""
        return self.prompts - self.wins - self.losses

    @property
    def means(self) -> tuple[float, float] | None:
        """The means of A and B; None without prompts."""
        return (self._sum_a / self.prompts, self._sum_b / self.prompts) if self.prompts else None

    @property
    def difference(self) -> float | None:
        """The mean difference; None without prompts."""
        return self._origin + self._sum / self.prompts if self.prompts else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the mean difference over all prompts of this kind; None with too few prompts."""
        return self._of_shares() if self._are_shares else self._student()

    def _of_shares(self) -> Interval | None:
        """Return the interval of scores between 0 and 1, such as right and wrong.

        Two more prompts are counted, one that A wins and one that B wins. So the interval is also honest for few
        prompts, and where A and B never differ.

        Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
        paired data", J. Educ. Behav. Stat. 37 (2012).
        """
        difference = self.difference
        if difference is None:
            return None
        count = self.prompts + 2
        total = difference * self.prompts
        squares = self._squares + 2 * self._origin * self._sum + self.prompts * self._origin**2
        mean = total / count
        half = Z * math.sqrt(max(0.0, (squares + 2) / count - mean * mean) / count)
        return Interval(max(-1.0, mean - half), min(1.0, mean + half))

    def _student(self) -> Interval | None:
        """Return the interval of all other scores, by Student's t; None where no difference varies."""
        difference, freedom = self.difference, self.prompts - 1
        if difference is None or freedom < 1:
            return None
        shift = difference - self._origin
        variance = max(0.0, self._squares - self.prompts * shift * shift) / freedom
        if not variance:
            return None
        half = t_quantile(freedom) * math.sqrt(variance / self.prompts)
        return Interval(difference - half, difference + half)
