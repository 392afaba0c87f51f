"""The distribution of numbers in bins of equal width on a logarithmic scale: memory does not grow with the numbers."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

_PER_DECADE = 1000
"""Bins of a distribution per factor of ten: quantiles are right within 0.12 %."""


class Distribution:
    """The distribution of numbers; zeros and negative numbers are counted separately."""

    def __init__(self, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole
        """Whether the numbers are integers: each then covers the range from half below to half above it."""
        self.bins: Counter[int] = Counter()
        self.negatives: Counter[int] = Counter()
        """The bins of the negative numbers, by their sizes."""
        self.zeros = 0

    def add(self, values: pa.Array) -> None:
        """Count values; nulls are left out."""
        values = pc.drop_null(pc.cast(values, pa.float64()))
        positive = values.filter(pc.greater(values, 0))
        _count(self.bins, positive)
        if rest := len(values) - len(positive):
            negative = values.filter(pc.less(values, 0))
            _count(self.negatives, pc.negate(negative))
            self.zeros += rest - len(negative)

    def update(self, other: "Distribution") -> None:
        """Add the counts of another distribution."""
        self.bins.update(other.bins)
        self.negatives.update(other.negatives)
        self.zeros += other.zeros

    @property
    def count(self) -> int:
        """Number of values."""
        return self.zeros + self.bins.total() + self.negatives.total()

    def quantile(self, share: float) -> float:
        """Return the value with this share of the values below it; 0 without values."""
        passed, wanted, reached = 0, share * self.count, 0.0
        for middle, count in self._ascending():
            passed, reached = passed + count, middle
            if passed >= wanted:
                break
        return reached

    def _ascending(self) -> Iterator[tuple[float, int]]:
        """Yield the middle of each bin and its count."""
        for number in sorted(self.negatives, reverse=True):
            yield -self._middle(number), self.negatives[number]
        if self.zeros:
            yield 0.0, self.zeros
        for number in sorted(self.bins):
            yield self._middle(number), self.bins[number]

    def _middle(self, number: int) -> float:
        return float(10 ** ((number + 0.5) / _PER_DECADE))

    def spread(self) -> tuple[float, float] | None:
        """Return the decimal logarithms of the least and the greatest value; None without positive values."""
        return (self._extent(min(self.bins))[0], self._extent(max(self.bins))[1]) if self.bins else None

    def columns(self, edges: Sequence[float]) -> list[float]:
        """Return the number of positive values between each of these equally spaced logarithms and the next."""
        return _spread_out(edges, ((*self._extent(number), count) for number, count in self.bins.items()))

    def linear_columns(self, edges: Sequence[float]) -> list[float]:
        """Return the number of values between each of these equally spaced numbers and the next.

        Smaller values count in the first column, greater ones in the last.
        """
        return _spread_out(edges, self._ranges())

    def _ranges(self) -> Iterator[tuple[float, float, int]]:
        for number, count in self.negatives.items():
            low, high = self._extent(number)
            yield -(10**high), -(10**low), count
        if self.zeros:
            room = 0.5 if self.is_whole else 0.0
            yield -room, room, self.zeros
        for number, count in self.bins.items():
            low, high = self._extent(number)
            yield 10**low, 10**high, count

    def _extent(self, number: int) -> tuple[float, float]:
        """Return the logarithms that bound the values of a bin; wide for small integers, which would make a comb."""
        value = round(10 ** ((number + 0.5) / _PER_DECADE))
        if self.is_whole and 1 <= value < _PER_DECADE // 2:
            return math.log10(value - 0.5), math.log10(value + 0.5)
        return number / _PER_DECADE, (number + 1) / _PER_DECADE


def _count(bins: Counter[int], values: pa.Array) -> None:
    numbers = pc.cast(pc.floor(pc.multiply(pc.log10(values), _PER_DECADE)), pa.int64())
    for entry in pc.value_counts(numbers).to_pylist():
        bins[entry["values"]] += entry["counts"]


def _spread_out(edges: Sequence[float], ranges: Iterator[tuple[float, float, int]]) -> list[float]:
    """Return the counts by column; a range that covers several columns is shared out among them."""
    counts = [0.0] * (len(edges) - 1)
    step = edges[1] - edges[0]
    for low, high, count in ranges:
        first, last = (min(len(counts) - 1, max(0, int((end - edges[0]) / step))) for end in (low, high))
        for column in range(first, last + 1):
            inside = min(high, edges[column + 1]) - max(low, edges[column])
            counts[column] += count * (inside / (high - low) if first < last else 1)
    return counts
