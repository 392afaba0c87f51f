"""Is it the row, or is it the endpoint? Pure: the pool tells it what happens, and when.

Theory of operation. A failed attempt may be the row's own fault (always 500 for this prompt) or the endpoint's (500 for
everybody). Only the first may cost the row one of its attempts, and one reply cannot tell. Others can: every failure
makes its row a *suspect*, and it is judged by the first success of a request that was sent after it. Sent after, since
an endpoint that has stopped working still answers, often for minutes, what it had begun.

- If there was no outage between, the endpoint worked and the row just failed: its attempts are spent.
- If there was one, nothing is spent; nor by failures of what had been sent before its end was seen.

Many rows that fail one after the other, or one again and again while nothing else is in flight, are reason to doubt:
admission pauses, and requests probe one by one, at growing intervals. When a probe fails too, it is an outage. It ends
with the success of anything sent since the doubt began.

A probe is a row that is no suspect, preferably a fresh one. When only suspects are left nobody could tell a bad row
from a bad endpoint, so it is a canary: a request for one token, the only one ever sent that is no row's. It also
convicts: where rows failed and no canary did, they are at fault. Where one failed, suspects and canaries take turns:
some server may answer rows, and break at what is none. A canary is sent too when many different rows in turn have
failed as probes, since a file may have a thousand bad rows in a row. When it succeeds admission goes on, and nothing is
decided yet: the next row that succeeds forgives all.

A refusal (401, 403, 404, …) after others were answered is a failure like the others. Several in a row are reason to
doubt, and a canary that is refused too shows that the whole run is refused. Before any answer, one is reason to doubt.
"""

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

_MANY = 8
"""Fewest rows that must fail one after the other, with no success between, until admission pauses; and no fewer than
are in flight, for a burst of requests has its failures back before its answers. Where one request in three fails by
chance, eight in a row come every 6,600 requests or so, and cost one short pause."""

REFUSALS = 3
"""Rows refused with no success between, after others had been answered, until admission pauses and a canary asks.
Gateways that restart say 404 for a moment, and firewalls 403 to single prompts."""

_ROWS_PROBED = 7
"""Rows that must have failed as probes until a canary is sent though there are more. One probe in eight costs nothing
to speak of."""

_PROBE_FIRST_S = 0.5
_PROBE_LAST_S = 30.0
_PROBE_SHARE = 1 / 16
"""Waits between probes of an endpoint that does not answer: short at first, since most outages are, and then a share of
how long it has lasted, so that its end is seen at most that share later."""

_NEVER_S = float("-inf")


class Failure(NamedTuple):
    """An attempt that may have failed by the row's fault or by the endpoint's."""

    kind: str
    message: str
    cost: int
    """What it costs the row, if it is the row's."""
    sent_s: float
    failed_s: float
    in_flight: int
    """How many are left."""
    was_probe: bool


class Suspicion(NamedTuple):
    """What a row may have to pay for."""

    cost: int
    last_s: float
    """When it last failed."""


class Pause(NamedTuple):
    """Admission has paused."""

    since_s: float
    """Since when nothing succeeds."""
    began_s: float
    kind: str
    message: str
    is_outage: bool = False
    """Whether a probe has failed since."""
    is_proven: bool = False
    """Whether a canary has."""
    rows: int = 0
    """Probes that were rows and failed, since the last canary."""


Row = TypeVar("Row", bound=Hashable)


class Judgement(NamedTuple, Generic[Row]):
    """What a success says of the failures before it."""

    spent: dict[Row, int]
    """Rows that failed by their own fault, with what it costs them."""
    forgiven: list[Row]
    """Rows that failed by the endpoint's."""
    ended: Pause | None
    """The pause that is over."""


class Health(Generic[Row]):
    """Whether the endpoint answers at all, from the pattern of failures and successes."""

    def __init__(self) -> None:
        self.pause: Pause | None = None
        self.probe_at_s = 0.0
        """When the next probe may be sent, while paused."""
        self.suspects: dict[Row, Suspicion] = {}
        """Rows whose failures are not judged yet, in the order of their last."""
        self.failures = 0
        """Failures in a row, with no success between."""
        self._in_a_row: dict[Row, int] = {}  # the rows of these, how often each
        self._refused: set[Row] = set()  # the same, of refusals
        self._enough_refused = REFUSALS  # until a canary asks
        self._failing_since_s = 0.0
        self._recovered_s = _NEVER_S
        self._is_undecided = False  # a canary has succeeded, but no row has yet

    @property
    def is_troubled(self) -> bool:
        """Whether a success has something to say."""
        return bool(self.suspects) or self.pause is not None

    @property
    def wants_canary(self) -> bool:
        """Whether rows cannot tell, though there are more to ask."""
        return self.pause is not None and (self.are_rows_exhausted or self._are_refused)

    @property
    def are_rows_exhausted(self) -> bool:
        """Whether so many rows have probed that a canary asks instead; its success decides nothing."""
        return self.pause is not None and self.pause.rows >= _ROWS_PROBED

    @property
    def is_canary_refuted(self) -> bool:
        """Whether the last probe that failed was a canary: then it is a suspect's turn, should no other row be left."""
        return self.pause is not None and self.pause.is_proven and not self.pause.rows

    def suspicion(self, row: Row) -> int:
        """Return what the row's failures may yet cost it."""
        suspicion = self.suspects.get(row)
        return suspicion.cost if suspicion else 0

    def failed(self, row: Row, failure: Failure) -> bool:
        """Note a failure of a row; return whether an outage has now begun."""
        if failure.sent_s < self._recovered_s:
            return False
        self._suspect(row, failure)
        if self.pause is not None:
            return failure.was_probe and self._confirm(self.pause._replace(rows=self.pause.rows + 1), failure)
        many = len(self._in_a_row) >= max(_MANY, failure.in_flight) or self._are_refused
        if many or (not failure.in_flight and self._in_a_row[row] > 1):
            self.doubt(failure.kind, failure.message, failure.failed_s)
        return False

    def canary_failed(self, failure: Failure) -> bool:
        """Note that a canary failed; return whether an outage has now begun."""
        return self.pause is not None and self._confirm(self.pause._replace(rows=0, is_proven=True), failure)

    def doubt(self, kind: str, message: str, now_s: float) -> None:
        """Pause admission until a probe has told more."""
        self.pause = Pause(self._failing_since_s if self._in_a_row else now_s, now_s, kind, message)
        self.probed(now_s)

    def probed(self, now_s: float) -> None:
        """Note that a probe is sent."""
        if self.pause is not None:
            wait_s = _PROBE_SHARE * (now_s - self.pause.since_s)
            self.probe_at_s = now_s + min(max(wait_s, _PROBE_FIRST_S), _PROBE_LAST_S)

    @property
    def _are_refused(self) -> bool:
        return len(self._refused) >= self._enough_refused

    def refused(self, row: Row, *, is_canary: bool, enough: int = REFUSALS) -> bool:
        """Note a refusal; return whether it is the whole run's: enough rows are refused, and a canary too.

        Args:
            row: whose request was refused.
            is_canary: whether it is a canary.
            enough: how many rows must be refused, with no success between, until a canary asks.
        """
        self._refused.add(row)
        self._enough_refused = enough
        return is_canary and len(self._refused) > enough

    def succeeded(self, sent_s: float, now_s: float, *, is_canary: bool) -> Judgement[Row]:
        """Note a success of a request that was sent at `sent_s`; return what it says of the suspects."""
        pause = self.pause
        if pause is not None and sent_s <= pause.began_s:
            return Judgement({}, [], None)
        is_undecided = is_canary and self.are_rows_exhausted
        self.pause = None
        self.failures = 0
        self._in_a_row.clear()
        self._refused.clear()
        if is_undecided:
            self._is_undecided = True
            return Judgement({}, [], pause)
        if is_canary:
            are_guilty = pause is None or not pause.is_proven
        else:
            are_guilty = not self._is_undecided and (pause is None or not pause.is_outage)
        self._is_undecided = False
        if are_guilty:
            return Judgement(self._convicted(sent_s), [], pause)
        self._recovered_s = now_s
        forgiven = list(self.suspects)
        self.suspects.clear()
        return Judgement({}, forgiven, pause)

    def _suspect(self, row: Row, failure: Failure) -> None:
        if not self._in_a_row:
            self._failing_since_s = failure.failed_s
        self.failures += 1
        self._in_a_row[row] = self._in_a_row.get(row, 0) + 1
        cost = self.suspicion(row) + failure.cost
        self.suspects.pop(row, None)
        self.suspects[row] = Suspicion(cost, failure.failed_s)

    def _confirm(self, pause: Pause, failure: Failure) -> bool:
        self.pause = pause._replace(kind=failure.kind, message=failure.message, is_outage=True)
        return not pause.is_outage

    def _convicted(self, sent_s: float) -> dict[Row, int]:
        """Take out the suspects that had failed when a request was sent that then succeeded."""
        spent: dict[Row, int] = {}
        for row, (cost, last_s) in self.suspects.items():
            if last_s > sent_s:
                break
            spent[row] = cost
        for row in spent:
            del self.suspects[row]
        return spent
