"""Looks at all streams some times a second, with one timer: which of them sent something, and which fell silent.

A stream is read when much of it has come, so nothing is done for a single piece. Here its timeout is extended when a
piece has come since the last look, and what has come is read when no piece has: it may be the end of the answer, on a
connection that stays open.
"""

import asyncio
from collections.abc import Callable

from batchrun.endpoint.http.receiver import Receiver

_EVERY_S = 0.25
"""Time between two looks: timeouts of streams are as exact as that."""

_LOOKS_A_TIMEOUT = 4
"""Looks in the time after which a silent stream is given up, if that is short."""


class Sweep:
    """Looks at the streams of one client."""

    def __init__(self, timeout_s: float) -> None:
        """Begin; `timeout_s` is that of a silent stream."""
        self._every_s = min(_EVERY_S, timeout_s / _LOOKS_A_TIMEOUT)
        self._seen: dict[Receiver, int] = {}  # with the bytes that had arrived at the last look
        self._on_piece: dict[Receiver, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receiver: Receiver, on_piece: Callable[[], None]) -> None:
        """Look at a stream until `forget`; `on_piece` is called when something has come since the last look."""
        self._seen[receiver], self._on_piece[receiver] = receiver.arrived_bytes, on_piece
        if self._timer is None:
            self._set_timer()

    def forget(self, receiver: Receiver) -> None:
        """Look at it no more, if it was watched."""
        if self._seen.pop(receiver, None) is not None:
            del self._on_piece[receiver]

    def look(self) -> None:
        """Look at all streams now."""
        for receiver, seen in self._seen.items():
            if receiver.arrived_bytes != seen:
                self._seen[receiver] = receiver.arrived_bytes
                self._on_piece[receiver]()
            else:
                receiver.look()

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.look()
        if self._seen:
            self._set_timer()
