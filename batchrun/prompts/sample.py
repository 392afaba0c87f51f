"""Rows chosen by lot, in bounded memory: a sample of an input, and the parts in which an input is read to be shuffled.

Each row number has a rank, which a seed decides: a pseudo-random number of 64 bits, different for each row. A sample is
the rows with the smallest ranks, so that a larger sample with the same seed has all rows of a smaller one.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.prompts.input.parts import Numbers

_BITS = 64
_MASK = (1 << _BITS) - 1
_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
"""Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014."""

_CHUNK_ROWS = 1 << 16
"""Row numbers whose ranks are computed together."""


def key_of(purpose: str, seed: int) -> int:
    """Return the key of the ranks for a purpose: samples and orders with the same seed are unlike each other."""
    return int.from_bytes(blake2b(f"{purpose} {seed}".encode(), digest_size=_BITS // 8).digest(), "big")


def rank(row: int, key: int) -> int:
    """Return the rank of a row, from 0 to below 2**64."""
    mixed = (row * _STEP + key) & _MASK
    for shift, factor in _MIX:
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK
    return mixed ^ (mixed >> _LAST_SHIFT)


def ranks(rows: pa.Array, key: int) -> pa.Array:
    """Return the ranks of many rows; both are arrays of uint64, whose products wrap around."""
    mixed = pc.add(pc.multiply(rows, _u64(_STEP)), _u64(key))
    for shift, factor in _MIX:
        mixed = pc.multiply(pc.bit_wise_xor(mixed, pc.shift_right(mixed, _u64(shift))), _u64(factor))
    return pc.bit_wise_xor(mixed, pc.shift_right(mixed, _u64(_LAST_SHIFT)))


def _u64(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


def _counted(first: int, end: int) -> pa.Array:
    """Return the numbers from a first to below an end."""
    return pc.add(pa.array(range(min(end - first, _CHUNK_ROWS)), pa.uint64()), _u64(first))


class Draw:
    """Draws a sample of the rows that are added."""

    def __init__(self, size: int, seed: int) -> None:
        """Begin.

        Args:
            size: rows to draw; all are drawn where there are fewer.
            seed: decides which.
        """
        self._size, self._key = size, key_of("sample", seed)
        self._rows, self._ranks = (pa.array([], pa.uint64()) for _ in range(2))
        self._highest = _MASK

    def add(self, rows: Iterable[int]) -> None:
        """Add rows that can be drawn."""
        self._add(pa.array(rows, pa.uint64()))

    def add_all(self, count: int) -> None:
        """Add the rows from 0 to below a count."""
        for first in range(0, count, _CHUNK_ROWS):
            self._add(_counted(first, count))

    def _add(self, rows: pa.Array) -> None:
        found = ranks(rows, self._key)
        if len(self._rows) >= self._size:
            low = pc.less_equal(found, _u64(self._highest))
            rows, found = rows.filter(low), found.filter(low)
        self._rows, self._ranks = pa.concat_arrays([self._rows, rows]), pa.concat_arrays([self._ranks, found])
        if len(self._rows) >= 2 * self._size + _CHUNK_ROWS:
            self._keep()

    def _keep(self) -> None:
        order = pc.array_sort_indices(self._ranks)[: self._size]
        self._rows, self._ranks = self._rows.take(order), self._ranks.take(order)
        if len(self._ranks) == self._size:
            self._highest = self._ranks[-1].as_py()

    def drawn(self) -> "array[int]":
        """Return the numbers of the rows that were drawn, in order."""
        self._keep()
        return array("q", pc.take(self._rows, pc.array_sort_indices(self._rows)).to_pylist())


def within(chosen: Sequence[int]) -> Numbers:
    """Return what finds the chosen rows of a range, given all of them in order."""
    return lambda first, end: chosen[bisect_left(chosen, first) : bisect_left(chosen, end)]


class Part(NamedTuple):
    """One of the parts of an input that are read after one another, each with its share of the rows, chosen by lot."""

    number: int
    """From 0."""
    parts: int
    """How many there are."""
    seed: int

    @property
    def numbers(self) -> Numbers:
        """Finds the rows of this part in a range. Ranges are asked for in order."""
        key, low, high = key_of("order", self.seed), self._bound(self.number), self._bound(self.number + 1) - 1
        known = -1
        rows: list[int] = []

        def numbers(first: int, end: int) -> Sequence[int]:
            nonlocal known, rows
            found: list[int] = []
            for chunk in range(first // _CHUNK_ROWS, (end - 1) // _CHUNK_ROWS + 1):
                if chunk != known:
                    start = chunk * _CHUNK_ROWS
                    each = _counted(start, start + _CHUNK_ROWS)
                    of_each = ranks(each, key)
                    is_here = pc.and_(pc.greater_equal(of_each, _u64(low)), pc.less_equal(of_each, _u64(high)))
                    known, rows = chunk, each.filter(is_here).to_pylist()
                found += rows[bisect_left(rows, first) : bisect_left(rows, end)]
            return found

        return numbers

    def _bound(self, number: int) -> int:
        return (number << _BITS) // self.parts


def both(one: Numbers | None, other: Numbers | None) -> Numbers | None:
    """Return what finds the rows that both choose; None where neither leaves any out."""
    if one is None or other is None:
        return one or other

    def numbers(first: int, end: int) -> Sequence[int]:
        wanted = set(other(first, end))
        return [row for row in one(first, end) if row in wanted]

    return numbers
