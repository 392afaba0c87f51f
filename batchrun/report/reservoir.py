"""Picks some of a stream of numbers at random, in one pass and in bounded memory."""

import math
import random

import pyarrow as pa


class Reservoir:
    """Keeps a random sample of fixed size; the same for the same stream.

    Source: Li, "Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n)))", ACM TOMS 20 (1994): Algorithm L.
    """

    def __init__(self, most: int) -> None:
        """Start with nothing; `most` numbers are kept."""
        self.kept: list[int] = []
        self._most = most
        self._chance = random.Random(most)  # noqa: S311  # not for security
        self._seen = 0
        self._next = most
        """Place in the stream of the next number to keep, once the reservoir is full."""
        self._weight = 1.0
        self._skip()

    def _skip(self) -> None:
        self._weight *= math.exp(math.log(1 - self._chance.random()) / self._most)
        self._next += int(math.log(1 - self._chance.random()) / math.log1p(-self._weight))

    def mixed(self) -> list[int]:
        """Return the numbers that are kept in random order: any first part of them is a random sample too."""
        return random.Random(self._most).sample(self.kept, len(self.kept))  # noqa: S311  # not for security

    def add(self, numbers: pa.Array) -> None:
        """Take the next numbers of the stream."""
        room = self._most - len(self.kept)
        self.kept += numbers[:room].to_pylist()
        while self._next < self._seen + len(numbers):
            self.kept[self._chance.randrange(self._most)] = numbers[self._next - self._seen].as_py()
            self._next += 1
            self._skip()
        self._seen += len(numbers)
