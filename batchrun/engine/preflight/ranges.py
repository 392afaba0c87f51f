"""A number that is not known exactly: from, most likely, and to. Pure."""

from typing import NamedTuple, Self


class Range(NamedTuple):
    """From, most likely, and to."""

    low: float
    likely: float
    high: float

    @classmethod
    def around(cls, likely: float, share: float) -> Self:
        """Return the range of so much more and less."""
        return cls(likely * (1 - min(share, 0.9)), likely, likely * (1 + share))

    def times(self, factor: float) -> "Range":
        """Return the range of so many of these."""
        return Range(*(each * factor for each in self))

    def plus(self, other: "Range") -> "Range":
        """Return the range of both together."""
        return Range(*(one + two for one, two in zip(self, other, strict=True)))

    def at_most(self, bound: float) -> "Range":
        """Return the range below a bound."""
        return Range(*(min(each, bound) for each in self))


NOTHING = Range(0.0, 0.0, 0.0)
ALIKE = Range(1.0, 1.0, 1.0)
