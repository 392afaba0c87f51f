"""How a limit grows at the start while no rejection comes. Pure: time is given.

A rejection comes much sooner than an answer: the server only counts. So silence is a sign as well. When nothing was
rejected for a while, the server has accepted all that it was sent. While nothing but answers comes, a limit that is in
use doubles every few hundredths of a second, in small steps: a rejection that takes a few milliseconds stops it a few
percent above what the server holds.

How long a rejection takes is not known before the first one. It has the same way to go as the opening of a connection.
So where that takes long, the limit grows more slowly, and it does not grow before there is a connection. The first step
takes twice as long: a server with few slots must have had the time to reject some of the first requests.

A server that queues is silent too, and never rejects. So silence leads only to a small multiple of what was answered;
`Limit` keeps that bound.
"""

from collections.abc import Callable
from math import log2

_DOUBLES_S = 0.05
"""Shortest time of a doubling. A rejection that takes 5 ms comes when the limit is passed by 7 %. With 0.1 s, runs of
30 answers of 0.5 s in each of 200 slots take 1.2 % longer (`make bench`)."""

_CONNECTIONS = 2.0
"""Longer time of a doubling: twice what it takes to open a connection. That is two or three round trips, and a
rejection on a new connection takes one more."""

_STEPS = 16
"""A doubling has at least so many steps, of one request or more."""

_FASTEST = 64
"""From this level on the limit grows no faster: the requests that are rejected in the end do not become more."""

_LOOKS_S = 0.05
"""Time between two looks whether there is a connection."""


class SilentGrowth:
    """The steps by which a limit grows while no rejection comes."""

    def __init__(self, connected_in_s: Callable[[], float | None]) -> None:
        """Begin.

        Args:
            connected_in_s: returns how long it took to open a connection, in seconds; None as long as none is open.
        """
        self._connected_in_s = connected_in_s
        self._doubles_s: float | None = None
        self._step_s = 0.0

    def growth(self, level: int, now_s: float) -> tuple[int, float]:
        """Return how many requests a limit grows by now, and when to ask again.

        Args:
            level: the limit, at least 1; all of it is in use.
            now_s: the time.
        """
        if self._doubles_s is None:
            took_s = self._connected_in_s()
            if took_s is None:
                return 0, now_s + _LOOKS_S
            self._doubles_s = max(_DOUBLES_S, _CONNECTIONS * took_s)
            self._step_s = now_s + 2 * self._doubles_s
        if now_s < self._step_s:
            return 0, self._step_s
        pace = min(level, _FASTEST)
        by = max(1, pace // _STEPS)
        self._step_s = now_s + self._doubles_s * log2(1 + by / pace)
        return by, self._step_s
