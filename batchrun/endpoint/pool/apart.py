"""Rows that may take the endpoint down each time they are sent: they are sent one at a time. Pure: time is given.

Theory of operation. An outage costs no row an attempt. So a row that makes the server crash would be sent again after
each crash, for ever, and every row that is in flight next to it would be lost each time. What tells it apart is that it
is always there when an outage begins: sent before the first failure, and not answered.

- A row that was there at two beginnings is held apart. It is sent when the endpoint has answered others for as long as
  it lasted with the row, and no other such row is in flight.
- If it is answered, it is a row like any other. If an outage begins without any row in flight that was there at another
  beginning, the endpoint fails without them too: all are released. One more beginning is enough to hold a row again:
  another row that was not known yet may have been the reason.
- If an outage begins three times while it is the only such row in flight, it fails.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from batchrun.endpoint.pool.backlog import Work

_BEGINNINGS = 2
"""Outages at whose beginning a row must have been in flight until it is held apart: in one, many rows are by chance."""

_ALONE = 3
"""Outages that must begin with a row as the only such row in flight until it fails."""

_SUCCESSES = 3
"""Others that must be answered after an outage before such a row is sent."""


class Apart:
    """The rows of one model that are held apart."""

    def __init__(self, held: deque[Work]) -> None:
        """Begin; `held`: these rows, of all endpoints that serve the model."""
        self.held = held
        self._sent: Work | None = None
        self._successes = 0  # since the last outage
        self._ended_s = 0.0

    def is_for(self, work: Work) -> bool:
        """Return whether a row must be held apart, and was not sent from here."""
        return work.beginnings >= _BEGINNINGS and work is not self._sent

    def answered(self, work: Work) -> None:
        """Note a success: such a row is released, any other shows that the endpoint works without them."""
        self._successes += 1
        if work.beginnings:
            self.release(work)

    def release(self, work: Work) -> None:
        """Treat a row like any other: it was answered, or its failures were judged to be its own."""
        work.beginnings = work.alone = 0
        if work is self._sent:
            self._sent = None

    def take(self, now_s: float, *, is_idle: bool) -> Work | None:
        """Return the next row to send apart; `is_idle`: there is no other row to send or to wait for."""
        if not self.held or self._sent is not None:
            return None
        is_calm = self._successes >= _SUCCESSES and now_s - self._ended_s >= self.held[0].survived_s
        if not (is_calm or is_idle):
            return None
        self._sent = self.held.popleft()
        return self._sent

    def outage_ended(self, present: Sequence[tuple[Work, float]], now_s: float) -> Iterable[Work]:
        """Note the end of an outage; return the rows that are held no longer.

        Args:
            present: the rows in flight when it began, and for how long each had been.
            now_s: the time.
        """
        for work, survived_s in present:
            work.beginnings += 1
            work.survived_s = survived_s
            if work is self._sent:
                work.alone += 1
        self._sent = None
        self._successes, self._ended_s = 0, now_s
        if not self.held or any(work.beginnings >= _BEGINNINGS for work, _ in present):
            return ()
        released = list(self.held)
        self.held.clear()
        for work in released:
            work.beginnings, work.alone = 1, 0
        return released


def is_condemned(work: Work) -> bool:
    """Return whether outages began so often with the row that it fails."""
    return work.alone >= _ALONE
