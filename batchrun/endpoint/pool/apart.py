"""Rows that may take the endpoint down each time they are sent: they are tried apart. Pure: time is given.

Theory of operation. An outage costs no row an attempt. So a row that makes the server crash would be sent again after
each crash, for ever, and every row that is in flight next to it would be lost each time. What tells it apart is that it
is always there when an outage begins: sent before the first failure, and not answered.

- A row that was there at two beginnings is held apart. Rows that are held are tried, a few at a time: as many as the
  square root of their number, which needs the fewest trials to find one among them. A trial begins when the endpoint
  has answered others for as long as it lasted with these rows.
- If an outage begins during a trial of several rows, each of them is tried by itself. If one begins then too, the row
  is tried *alone*: as soon as the endpoint is back, and nothing else is sent for as long as the row needed to take it
  down. So another row that is not known yet is not mistaken for it. At the third outage that began with only this
  row on trial, it fails.
- If a row is answered, it is a row like any other. If an outage begins without any row in flight that was there at
  another beginning, the endpoint fails without them too: all are released. One more beginning is enough to hold a row
  again: another row that was not known yet may have been the reason.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from math import isqrt

from batchrun.endpoint.pool.backlog import Backlog, Work
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Reply

_BEGINNINGS = 2
"""Outages at whose beginning a row must have been in flight until it is held apart: in one, many rows are by chance."""

_TRIALS = 3
"""Outages that must begin with a row as the only one on trial until it fails."""

_SUCCESSES = 3
"""Others that must be answered after an outage before a trial begins."""

_LONGER = 2.0
_LONGER_S = 0.5
"""How long a row is tried alone: twice the time in which it took the endpoint down, and half a second."""


class Apart:
    """The rows of one model that are held apart."""

    def __init__(self, held: deque[Work]) -> None:
        """Begin; `held`: these rows, of all endpoints that serve the model; those to be tried by themselves first."""
        self.held = held
        self.alone: Work | None = None
        """The row that is tried alone, or will be next."""
        self.alone_until_s = 0.0
        """The latest end of that."""
        self._is_alone_sent = False
        self._on_trial: set[Work] = set()
        self._to_send = 0  # of those that are held, in this trial
        self._is_single = False  # whether this trial is of one row
        self._successes = 0  # since the last outage
        self._ended_s = 0.0
        self._is_explained = False  # the outage, by a row that was known

    def suspects(self, work: Work) -> bool:
        """Return whether a row may take the endpoint down."""
        return work.beginnings >= _BEGINNINGS

    def is_for(self, work: Work) -> bool:
        """Return whether a row must be held apart, and is not on trial."""
        return self.suspects(work) and work not in self._on_trial

    def is_tried_by_itself(self, work: Work) -> bool:
        """Return whether a row is the only one on trial."""
        return len(self._on_trial) == 1 and work in self._on_trial

    def hold(self, work: Work) -> None:
        """Hold a row until its trial."""
        if work.beginnings > _BEGINNINGS:
            self.held.appendleft(work)
        else:
            self.held.append(work)

    def answered(self, work: Work) -> None:
        """Note a success: such a row is released, any other shows that the endpoint works without them."""
        self._successes += 1
        if work.beginnings:
            self.release(work)

    def charged(self, work: Work) -> None:
        """Note that a row pays for a failure: it is its own, unless others were lost together with it."""
        if work.is_shared:
            work.beginnings += 1
            self._on_trial.discard(work)
        else:
            self.release(work)

    def release(self, work: Work) -> None:
        """Treat a row like any other: it was answered, or its failures were judged to be its own."""
        work.beginnings = work.trials = 0
        self.left(work)

    def left(self, work: Work) -> None:
        """Note that a row is not on trial any more."""
        self._on_trial.discard(work)
        if work is self.alone:
            self.alone = None

    def take(self, now_s: float, *, is_idle: bool) -> Work | None:
        """Return the next row to try; `is_idle`: there is no other row to send or to wait for."""
        if not self.held:
            return None
        self._on_trial = {work for work in self._on_trial if not work.is_settled}
        if not self._on_trial:
            size = 1 if self.held[0].beginnings > _BEGINNINGS else isqrt(len(self.held) - 1) + 1
            survived_s = max(work.survived_s for work in islice(self.held, size))
            is_calm = self._successes >= _SUCCESSES and now_s - self._ended_s >= survived_s
            self._to_send = size if is_calm or is_idle else 0
            self._is_single = size == 1
        if not self._to_send:
            return None
        self._to_send -= 1
        work = self.held.popleft()
        self._on_trial.add(work)
        return work

    def take_alone(self, backlog: Backlog, now_s: float) -> Work | None:
        """Return the row that is to be tried alone now, if it was not sent yet."""
        row = self.alone
        if row is None or self._is_alone_sent or not backlog.take_where(lambda each: each is row):
            return None
        self._is_alone_sent = True
        self.alone_until_s = now_s + _LONGER * row.survived_s + _LONGER_S
        return row

    def holds_others(self, in_flight: int, now_s: float) -> bool:
        """Return whether nothing else is sent, because a row is tried alone; else that trial is over."""
        if self._is_alone_sent and in_flight and now_s < self.alone_until_s:
            return True
        if self.alone is not None and not self._is_alone_sent:
            self._on_trial.discard(self.alone)
        self.alone = None
        return False

    def was_present(self, work: Work, survived_s: float) -> None:
        """Note that a row was in flight when an outage began, and for how long it had been."""
        work.beginnings += 1
        work.survived_s = survived_s
        work.trials += self._is_single and work in self._on_trial
        self._is_explained = self._is_explained or self.suspects(work)

    def outage_ended(self, present: Sequence[tuple[Work, float]], now_s: float) -> Iterable[Work]:
        """Note the end of an outage; return the rows that are held no longer.

        Args:
            present: the rows in flight when it began that were not noted yet, and for how long each had been.
            now_s: the time.
        """
        for work, survived_s in present:
            self.was_present(work, survived_s)
        tried = [work for work, _ in present if self._is_single and work in self._on_trial]
        self._on_trial, self.alone = set(tried), tried[-1] if tried else None
        self._is_alone_sent, self._to_send = False, 0
        self._successes, self._ended_s = 0, now_s
        is_explained, self._is_explained = self._is_explained, False
        if not self.held or is_explained:
            return ()
        released = list(self.held)
        self.held.clear()
        for work in released:
            work.beginnings, work.trials = 1, 0
        return released


def is_condemned(work: Work, least: float) -> bool:
    """Return whether outages began so often with the row that it fails; `least`: more often than by chance."""
    return work.trials >= max(_TRIALS, least)


def condemnation(work: Work) -> tuple[Reply | Fault, Verdict]:
    """Return how a row ends that takes the endpoint down each time: its last result, and the verdict on it."""
    assert work.failure is not None
    result, verdict = work.failure
    outages = f"{work.beginnings} outages began while it was in flight"
    message = f"the endpoint stopped answering each time this row was sent ({outages})"
    return result, verdict._replace(message=f"{message}: {verdict.message}")
