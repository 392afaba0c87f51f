"""Is it the row, or is it the endpoint? Pure: the pool tells it what happens, and when.

Theory of operation. A failed attempt may be the row's own fault (always 500 for this prompt) or the endpoint's (500 for
everybody). Only the first may cost the row one of its attempts, and one reply cannot tell. Others can: so every
failure since the last success is *suspect*, and the next success decides over all of them.

- If there was no outage, the endpoint worked all along and these rows just failed: their attempts are spent.
- If there was one, nothing is spent.

Many rows that fail one after the other, or one that fails again with no success between, are reason to doubt: admission
pauses, and one request at a time probes, at growing intervals. When a probe fails too, it is an outage. The probe is a
row that has not failed since the last success, if there is one. Else nobody could tell a bad row from a bad endpoint,
so it is a canary: a request for one token, the only one ever sent that is no row's. Any success ends the pause.

A refusal (401, 403, 404, …) ends the run when nothing was ever answered, or when others are refused as well. A single
odd one in a run that works is a failure like the others.
"""

from collections.abc import Hashable
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

_MANY = 8
"""Rows that fail one after the other, with no success between, until admission pauses. Where one request in three fails
by chance, that happens every 6,600 requests or so, and costs one short pause."""

_REFUSALS = 3
"""Rows refused with no success between, after others had been answered, until the refusal is taken for the run's."""

_PROBE_FIRST_S = 0.5
_PROBE_LAST_S = 30.0
"""Waits between probes of an endpoint that does not answer: short at first, since most outages are."""


class Judgement(Enum):
    """What a success says of the failures before it."""

    SPENT = "they were the rows' own"
    FORGIVEN = "they were the endpoint's"


class Pause(NamedTuple):
    """Admission has paused."""

    since_s: float
    kind: str
    message: str
    is_outage: bool
    """Whether a probe has failed since."""


Row = TypeVar("Row", bound=Hashable)


class Health(Generic[Row]):
    """Whether the endpoint answers at all, from the pattern of failures and successes."""

    def __init__(self) -> None:
        self.pause: Pause | None = None
        self.probe_at_s = 0.0
        """When the next probe may be sent, while paused."""
        self.suspects: dict[Row, int] = {}
        """Rows that failed since the last success, with how often."""
        self._refused: set[Row] = set()
        self._wait_s = _PROBE_FIRST_S
        self._failing_since_s = 0.0

    def failed(self, row: Row, kind: str, message: str, now_s: float, *, was_probe: bool) -> bool:
        """Note a failure that may be the row's or the endpoint's; return whether an outage has now begun."""
        if not self.suspects:
            self._failing_since_s = now_s
        failures = self.suspects.get(row, 0) + 1
        self.suspects[row] = failures
        if self.pause is None:
            if len(self.suspects) >= _MANY or failures > 1:
                self.doubt(kind, message, now_s)
            return False
        if not was_probe:
            return False
        begins = not self.pause.is_outage
        self.pause = Pause(self.pause.since_s, kind, message, is_outage=True)
        self._wait_s = min(self._wait_s * 2, _PROBE_LAST_S)
        self.probe_at_s = now_s + self._wait_s
        return begins

    def doubt(self, kind: str, message: str, now_s: float) -> None:
        """Pause admission until a probe has told more."""
        self.pause = Pause(self._failing_since_s, kind, message, is_outage=False)
        self.probe_at_s = now_s + self._wait_s

    def refused(self, row: Row) -> bool:
        """Note a refusal after others had been answered; return whether it is the whole run's."""
        self._refused.add(row)
        return len(self._refused) >= _REFUSALS

    def succeeded(self) -> tuple[Judgement, dict[Row, int]]:
        """Note a success: return what it says of the suspects, and who they were. Ends a pause."""
        is_outage = self.pause is not None and self.pause.is_outage
        suspects, self.suspects = self.suspects, {}
        self._refused.clear()
        self.pause = None
        self._wait_s = _PROBE_FIRST_S
        return Judgement.FORGIVEN if is_outage else Judgement.SPENT, suspects
