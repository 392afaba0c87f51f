"""Requests whose prompts begin alike, brought near one another, so that the endpoint's prefix cache serves them. Pure.

The input is never held as a whole: what is sorted is a window of it, which is filled again as it is emptied, so that
nobody waits for the next one.
"""

from collections import deque
from collections.abc import Iterator

from batchrun.records import BadRow, Request

_ROWS = 1 << 15
_BYTES = 32 << 20
"""How much a window holds, in requests and in bytes of their bodies."""

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 20
"""How much is handed on at once, as the reader does."""

_BEFORE_MESSAGES = b',"messages":'

Entry = Request | BadRow


def by_prefix(batches: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    """Yield the entries of batches sorted by their messages, window by window. Models and samples stay mixed."""
    window: deque[Entry] = deque()
    coming: list[Entry] = []
    size = 0
    while True:
        while len(window) + len(coming) < _ROWS and size < _BYTES and (batch := next(batches, None)) is not None:
            coming += batch
            size += sum(map(_size, batch))
        if not window:
            window, coming = deque(sorted(coming, key=_messages)), []
        if not window:
            return
        ready = _taken(window)
        size -= sum(map(_size, ready))
        yield ready


def _taken(window: deque[Entry]) -> list[Entry]:
    """Return what comes next, taken out."""
    taken: list[Entry] = []
    size = 0
    while window and len(taken) < _BATCH_ROWS and size < _BATCH_BYTES:
        taken.append(window.popleft())
        size += _size(taken[-1])
    return taken


def _size(entry: Entry) -> int:
    return len(entry.body) if isinstance(entry, Request) else 0


def _messages(entry: Entry) -> bytes:
    """Return a body from its messages on; broken rows come first."""
    return entry.body[entry.body.find(_BEFORE_MESSAGES) :] if isinstance(entry, Request) else b""
