"""Has the endpoint crashed? What fails in the same moment shows it. Pure: time is given.

A server that crashes takes with it all that is in flight. It may be back before the next request, so that no probe
fails. Two things tell its crash from rows that fail by themselves:

- Most of what was in flight is lost in one moment: connections break, or a gateway finds no server behind it. Rows that
  break their own connections do that in one moment too if they were sent in one. So the requests must have been sent at
  different times, or a connection is refused, or the only row on trial is lost (`apart`). Else rows that are lost
  together pay an attempt, but are sent apart sooner or later.
- Many requests fail in one moment in whatever way, however long ago they were sent.

If a reply comes later than that moment to a request that had been sent before it, the endpoint went on: a row that
fails so has failed by itself, and its further failures show no crash. In a block of bad rows they come together.

A kept connection that breaks at once, without a byte, may just have been closed, and many of them in one moment too,
where all requests take the same time. They count with a request that was lost in another way.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from batchrun.endpoint.pool.failures import Failure, Loss

_AT_ONCE_S = 0.05
"""Failures are of one moment if they come within 50 ms."""

_LOST_APART_S = 0.1
_FAILED_APART_S = 0.25
"""By how much later than others some must have been sent of those that are lost, or that fail in whatever way."""

_WENT_ON_S = 0.1
"""How much later than a failure a reply must come to show that the endpoint went on. It may have been on its way."""

_REMEMBERED_S = 5.0
"""How long a failure waits for such a reply."""

_LEAST = 2
"""Fewest requests that show a crash by being lost: one may have broken its own connection."""

Row = TypeVar("Row", bound=Hashable)


@dataclass
class _Moment(Generic[Row]):
    began_s: float
    in_flight: int
    """When it began."""
    failed: set[Row] = field(default_factory=set)
    lost: set[Row] = field(default_factory=set)
    """Of what was in flight."""
    losses: set[Loss] = field(default_factory=set)
    """How it was lost, and what was sent since."""
    youngest_s: float = inf
    oldest_s: float = 0.0
    """How long ago the attempts were sent."""


class Crash(Generic[Row]):
    """The failures of the present moment."""

    def __init__(self) -> None:
        self._now: _Moment[Row] = _Moment(-inf, 0)
        self._recent: dict[Row, float] = {}  # rows that failed → when, in order

    @property
    def began_s(self) -> float:
        """When the present moment began."""
        return self._now.began_s

    @property
    def lost_together(self) -> Collection[Row]:
        """The rows that are lost now, if they are most of what was in flight: one of them may have taken the others."""
        lost = self._now.lost
        return lost if len(lost) >= _LEAST and 2 * len(lost) > self._now.in_flight else ()

    def failed_apart(self, sent_s: float, now_s: float) -> list[Row]:
        """Note a reply; return the rows that failed while its request was in flight, and took nothing with them."""
        apart: list[Row] = []
        for row, failed_s in reversed(self._recent.items()):
            if failed_s <= sent_s + _AT_ONCE_S:  # it may have been sent after the crash, to what was started then
                break
            if failed_s + _WENT_ON_S < now_s:
                apart.append(row)
        for row in apart:
            del self._recent[row]
        return apart

    def _remember(self, row: Row, failed_s: float) -> None:
        self._recent.pop(row, None)
        self._recent[row] = failed_s
        while (oldest := next(iter(self._recent))) is not row and self._recent[oldest] < failed_s - _REMEMBERED_S:
            del self._recent[oldest]

    def shows(self, row: Row, failure: Failure, many: int) -> bool:
        """Note a failure; return whether it shows a crash.

        Args:
            row: which failed.
            failure: how.
            many: how many rows show a crash if they fail in one moment in whatever way.
        """
        now = self._now
        if failure.failed_s - now.began_s > _AT_ONCE_S:
            now = self._now = _Moment(failure.failed_s, failure.in_flight + 1)
        self._remember(row, failure.failed_s)
        if failure.is_own:
            return False
        age_s = failure.failed_s - failure.sent_s
        now.failed.add(row)
        now.youngest_s, now.oldest_s = min(age_s, now.youngest_s), max(age_s, now.oldest_s)
        if failure.loss is not None:
            now.losses.add(failure.loss)
            if failure.sent_s <= now.began_s:
                now.lost.add(row)
        apart_s = now.oldest_s - now.youngest_s
        if len(now.failed) >= many and apart_s >= _FAILED_APART_S:
            return True
        if now.losses <= {Loss.STALE}:
            return False
        if failure.is_trial and 2 * len(now.lost) > now.in_flight:
            return True
        return bool(self.lost_together) and (apart_s >= _LOST_APART_S or Loss.UNREACHED in now.losses)
