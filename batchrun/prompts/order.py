"""Orders of sending: prompts that begin alike near one another, for the endpoint's prefix cache, or by chance. Pure.

The input is never held as a whole: what is sorted is a window of it, which is filled again as it is emptied, so that
nobody waits for the next one.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from batchrun.records import BadRow, PackedRow, Request

_ROWS = 1 << 15
_BYTES = 32 << 20
"""How much a window holds, in requests and in bytes of their bodies."""

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 20
"""How much is handed on at once, as the reader does."""

_BATCHES_AHEAD = 64
"""Batches read of the next part while a batch is handed on: most of them have few rows of it, or none."""

_AFTER_MODEL = re.compile(rb',\s*"')
"""Ends the model at the beginning of a body. Inside its name a quote has a backslash before it."""

Entry = Request | BadRow

E = TypeVar("E", bound=Request | BadRow | PackedRow)


def by_prefix(batches: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    """Yield the entries of batches sorted by what they ask, window by window. Models and samples stay mixed."""
    window: deque[Entry] = deque()
    coming: list[Entry] = []
    size = 0
    while True:
        while len(window) + len(coming) < _ROWS and size < _BYTES and (batch := next(batches, None)) is not None:
            coming += batch
            size += sum(map(_size, batch))
        if not window:
            window, coming = deque(sorted(coming, key=_asked)), []
        if not window:
            return
        ready = _taken(window)
        size -= sum(map(_size, ready))
        yield ready


def in_random_order(parts: Iterator[Iterator[list[E]]], place: Callable[[int], int]) -> Iterator[list[E]]:
    """Yield the entries of parts one after the other, each part by the places of its rows.

    Args:
        parts: of the input, each with its share of the rows; read ahead by one.
        place: row number → its place in the order.
    """
    coming = _Coming(parts)
    while True:
        coming.read(_ROWS)
        window = deque(sorted(coming.take(), key=lambda entry: place(entry.row)))
        if not window and coming.is_over:
            return
        while window:
            yield _taken(window)
            coming.read(_BATCHES_AHEAD)


class _Coming(Generic[E]):
    """The entries of the next part, or as many of them as a window holds."""

    def __init__(self, parts: Iterator[Iterator[list[E]]]) -> None:
        self._parts = parts
        self._part = next(parts, None)
        self._entries: list[E] = []
        self._bytes = 0
        self._is_whole = False

    @property
    def is_over(self) -> bool:
        """Whether the last part was read."""
        return self._part is None

    def read(self, batches: int) -> None:
        """Read so many batches, but none of the part after this one."""
        for _ in range(batches):
            if self._part is None or self._is_whole or len(self._entries) >= _ROWS or self._bytes >= _BYTES:
                return
            batch = next(self._part, None)
            if batch is None:
                self._part, self._is_whole = next(self._parts, None), True
                return
            self._entries += batch
            self._bytes += sum(map(_size, batch))

    def take(self) -> list[E]:
        """Return the entries, and begin the next part if this one was read."""
        entries, self._entries, self._bytes, self._is_whole = self._entries, [], 0, False
        return entries


def _taken(window: deque[E]) -> list[E]:
    """Return what comes next, taken out."""
    taken: list[E] = []
    size = 0
    while window and len(taken) < _BATCH_ROWS and size < _BATCH_BYTES:
        taken.append(window.popleft())
        size += _size(taken[-1])
    return taken


def _size(entry: Request | BadRow | PackedRow) -> int:
    if isinstance(entry, Request):
        return len(entry.body)
    return entry.size if isinstance(entry, PackedRow) else 0


def _asked(entry: Entry) -> bytes:
    """Return a body without its model, from what is asked on; broken rows come first."""
    if not isinstance(entry, Request):
        return b""
    found = _AFTER_MODEL.search(entry.body)
    return entry.body[found.start() :] if found else entry.body
