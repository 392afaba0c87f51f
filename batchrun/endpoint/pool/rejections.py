"""Is a row rejected for itself, for ever? Pure: time is given.

Theory of operation. A rejection (429, a full server) is free: it can hit any row, and the next attempt may be let in.
But a row may be larger than its plan allows, and then it would be sent for ever. What others meet shows the difference.

A rejection is judged by the first success of another request that was sent after it came: the endpoint let others in.
Rejections that no success follows, as in an outage or at a full limit, show nothing. Each judged rejection adds to the
row's doubt: how improbable it is that chance rejects a sound row. Sound rows are those that were answered. So the share
of their attempts that were rejected, lately, is the chance that an attempt of a sound row is rejected, and the doubt
adds the logarithm of that. Rows that are never answered do not count in it, however many they are.

In a calm run nine judged rejections are enough; where nine attempts in ten are rejected, some two hundred.
"""

from collections.abc import Hashable
from math import log
from typing import Generic, TypeVar

_MEMORY = 1 / 32
"""Weight of the newest success in the share: a limit that falls shows at once in the rejections of those answered."""

_LEAST_SHARE = 0.1
"""The chance of a rejection that is assumed at least, so that one burst does not condemn a row."""

_CERTAIN = -log(1e-9)
"""The doubt at which a row fails: chance rejects one sound row in a billion in this way."""

_KNOWN = 3
"""Judged rejections from which a row's rejections say nothing about the limit and the rates of all others."""

Row = TypeVar("Row", bound=Hashable)


class Rejections(Generic[Row]):
    """The rejections of one model's rows."""

    def __init__(self) -> None:
        self._pending: dict[Row, float] = {}  # rows whose last rejection is not judged → when it came, in order
        self._closing: dict[Row, int] = {}  # of these, how often each closed admission since it was last judged
        self._doubts: dict[Row, tuple[float, int]] = {}  # judged: doubt and number
        self._rejected = self._answered = 0.0  # lately, of rows that were answered
        self._canaries = 0  # rejected in a row

    def rejected(self, row: Row, now_s: float, *, closes: bool = False) -> bool:
        """Note a rejection of a row; return whether it is certain that it will never be let in.

        Args:
            row: whose request was rejected.
            now_s: when.
            closes: whether admission closes for all because of it.
        """
        if closes and not self.is_known(row):
            self._closing[row] = self._closing.get(row, 0) + 1
        self._pending.pop(row, None)
        self._pending[row] = now_s
        doubt, _ = self._doubts.get(row, (0.0, 0))
        return doubt >= _CERTAIN

    def canary_rejected(self) -> None:
        """Note a rejection of a canary."""
        self._canaries += 1

    def is_known(self, row: Row) -> bool:
        """Return whether the row is rejected so often while others are let in that only it should wait."""
        return row in self._doubts and self._doubts[row][1] >= _KNOWN

    def must_yield(self, row: Row) -> bool:
        """Return whether a row has closed admission and no other request was answered since: others go first."""
        return self._closing.get(row, 0) > 0

    def forget(self, row: Row) -> None:
        """Remove a row that is settled."""
        self._pending.pop(row, None)
        self._closing.pop(row, None)
        self._doubts.pop(row, None)

    def answered(self, row: Row | None, rejections: int, sent_s: float) -> bool:
        """Judge the rejections that came before a request was sent that is answered now.

        Returns whether a row has become known that had closed admission: then that showed nothing about a rate.

        Args:
            row: whose request it was; None for a canary.
            rejections: how often that row was rejected before.
            sent_s: when the request was sent.
        """
        if row is None:
            rejections, self._canaries = self._canaries, 0
        elif self._pending or self._closing or self._doubts:
            self.forget(row)
        self._rejected += rejections - self._rejected * _MEMORY
        self._answered += 1 - self._answered * _MEMORY
        was_wrong = False
        while self._pending:
            suspect, rejected_s = next(iter(self._pending.items()))
            if rejected_s > sent_s:
                break
            del self._pending[suspect]
            closings = self._closing.pop(suspect, 0)
            doubt, judged = self._doubts.get(suspect, (0.0, 0))
            self._doubts[suspect] = doubt + self._doubt, judged + 1
            was_wrong = was_wrong or bool(closings and judged + 1 >= _KNOWN)
        return was_wrong

    @property
    def _doubt(self) -> float:
        """What one judged rejection adds now."""
        share = (self._rejected + 1) / (self._rejected + self._answered + 2)
        return -log(max(share, _LEAST_SHARE))
