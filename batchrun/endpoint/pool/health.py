"""Is it the row, or is it the endpoint? Pure: the pool reports what happens, and when.

Theory of operation. A failed attempt may be the row's own fault (always 500 for this prompt) or the endpoint's (500 for
everybody). Only the first may cost the row one of its attempts, and one reply cannot show which it is. Others can:
every failure makes its row a *suspect*, and the first success of a request that was sent after the failure judges it.
Sent after, because an endpoint that has stopped working often still finishes, for minutes, what it had begun.

- Without an outage between the two, the endpoint worked and the row failed: it pays for its attempts.
- After an outage nothing is paid, not even for failures of requests that were sent before its end was seen.

Admission pauses when many rows fail one after the other, or when one row fails again while nothing else is in flight.
Then requests probe one by one, at growing intervals. When a probe fails too, or the failures show a crash (`crash`), it
is an outage. It ends with the success of any request that was sent since the pause began.

A probe is a row that is not a suspect, preferably a fresh one. When only suspects are left, no row can show whether the
rows are bad or the endpoint is. Then a canary probes: a request for one token, the only kind that is not a row's. It
can convict too: if rows failed and no canary did, the rows are at fault. After every eight failed canaries one suspect
probes, because a server may answer rows and break at canaries. A canary is also sent after many different rows have
failed as probes, since a file may have a thousand bad rows in a row. If it succeeds, admission continues, but nothing
is judged yet: the next row that succeeds forgives all.

A refusal (400, 401, 404, …) makes its row a suspect too, but it does not count as a failure of the endpoint: whether it
is the row's or the run's is another question, which `refusals` answers, with canaries and fresh rows. Admission pauses
meanwhile, but what was sent after a refusal came still judges it.
"""

from collections.abc import Hashable, Sequence
from math import inf
from typing import Generic, NamedTuple, TypeVar

from batchrun.endpoint.pool.crash import Crash
from batchrun.endpoint.pool.failures import Failure, Loss, Refusal, Suspicion
from batchrun.endpoint.pool.pause import Pause
from batchrun.endpoint.pool.refusals import Refusals
from batchrun.endpoint.pool.verdicts import ATTEMPT

_MANY = 8
"""Rows that must fail one after the other until admission pauses; at least as many as are in flight, because the
failures of a burst come back before its answers. Where one request in three fails by chance, that costs one short pause
in 6,600 requests."""

_ROWS_PROBED = 7
"""Rows that must fail as probes until a canary probes although more rows are left."""

_CANARIES_IN_TURN = 8
"""Canaries that must fail until a suspect probes: it may be what makes the server crash, and would then each time."""

_PROBE_FIRST_S = 0.5
_PROBE_LAST_S = 30.0
_PROBE_SHARE = 1 / 16
"""Waits between probes: short at first, because most outages are short, then a share of the outage's length so far."""

_NEVER_S = -inf


Row = TypeVar("Row", bound=Hashable)


class Judgement(NamedTuple, Generic[Row]):
    """What a success shows about the failures before it."""

    spent: dict[Row, int]
    """Rows that failed by their own fault, and what each pays."""
    forgiven: list[Row]
    """Rows that failed by the endpoint's fault."""
    ended: Pause | None
    """The pause that is over."""
    present: Sequence[tuple[Row, float]] | None = None
    """After an outage, the forgiven rows that were in flight when the outage began, and for how long they had been."""


class Health(Generic[Row]):
    """Whether a model answers at all, judged by the pattern of failures and successes."""

    def __init__(self) -> None:
        self.pause: Pause | None = None
        self.probe_at_s = 0.0
        """When the next probe may be sent, while paused."""
        self.suspects: dict[Row, Suspicion] = {}
        """Rows whose failures are not judged yet, in the order of their last failures."""
        self.failures = 0
        """Failures in a row, with no success between."""
        self.refusals: Refusals[Row] = Refusals()
        """The refusals that are not judged yet."""
        self._in_a_row: dict[Row, int] = {}  # rows of these failures, and how often each failed
        self._canaries: list[Row] = []  # refused in a row, while they asked for an outage
        self._blamed = 0  # of these rows, those that had failed for themselves before
        self._failing_since_s = 0.0
        self.crash: Crash[Row] = Crash()
        """The failures of the present moment."""
        self._recovered_s = _NEVER_S
        self._undecided_since_s = _NEVER_S
        self._is_undecided = False  # a canary has succeeded, but no row has yet

    @property
    def is_troubled(self) -> bool:
        """Whether a success has anything to decide."""
        return bool(self.suspects) or self.pause is not None

    @property
    def wants_canary(self) -> bool:
        """Whether a canary must probe although more rows are left."""
        return self.pause is not None and (self.are_rows_exhausted or self.pause.asks)

    @property
    def wants_row(self) -> bool:
        """Whether a fresh row, if there is one, is to show whose the refusals are."""
        return self.pause is not None and self.pause.asks and self.refusals.wants_row

    @property
    def are_rows_exhausted(self) -> bool:
        """Whether so many rows have probed that a canary probes instead; its success judges no row."""
        return self.pause is not None and self.pause.rows >= _ROWS_PROBED

    @property
    def is_suspects_turn(self) -> bool:
        """Whether the next probe is a suspect, if only suspects are left."""
        failed = 0 if self.pause is None or self.pause.rows else self.pause.canaries
        return failed > 0 and failed % _CANARIES_IN_TURN == 0

    def suspicion(self, row: Row) -> int:
        """Return what the row may still have to pay for its failures."""
        suspicion = self.suspects.get(row)
        return suspicion.cost if suspicion else 0

    def failed(self, row: Row, failure: Failure) -> bool:
        """Note a failure of a row; return whether an outage begins with it."""
        if failure.sent_s < self._recovered_s:
            return False
        self._suspect(row, failure)
        if not self._in_a_row:
            self._failing_since_s = failure.failed_s
        self.failures += 1
        self._in_a_row[row] = self._in_a_row.get(row, 0) + 1
        if self.pause is not None:
            if failure.was_probe and self.wants_row:
                self.refusals.begin_again()
            return failure.was_probe and self._confirm(self.pause._replace(rows=self.pause.rows + 1), failure)
        has_crashed = self._has_crashed(row, failure)
        self._blamed += failure.is_blamed and self._in_a_row[row] == 1
        many = len(self._in_a_row) - self._blamed >= max(_MANY, failure.in_flight)
        if many or has_crashed or (not failure.in_flight and self._in_a_row[row] > 1):
            pause = self.doubt(failure.kind, failure.message, failure.failed_s)
            return has_crashed and self._confirm(pause, failure, is_crash=True)
        return False

    def _has_crashed(self, row: Row, failure: Failure) -> bool:
        """Note a failure; return whether it shows that the endpoint has crashed."""
        if not self.crash.shows(row, failure, max(_MANY, failure.in_flight)):
            return False
        self._failing_since_s = self.crash.began_s
        return True

    def broke(self, row: Row, failure: Failure) -> bool:
        """Note that a kept connection broke under a row; return whether an outage begins with it."""
        if failure.sent_s < self._recovered_s:
            return False
        self._suspect(row, failure)
        if not self._has_crashed(row, failure) or self.pause is not None:
            return False
        pause = self.doubt(failure.kind, failure.message, failure.failed_s)
        return self._confirm(pause, failure, is_crash=True)

    def forget(self, row: Row) -> None:
        """Remove a row that is settled."""
        self.suspects.pop(row, None)

    def canary_failed(self, failure: Failure) -> bool:
        """Note a failure of a canary; return whether an outage begins with it."""
        if self.wants_row:
            self.refusals.begin_again()
        if self.pause is None:
            return False
        pause = self.pause._replace(rows=0, asks=False, canaries=self.pause.canaries + 1)
        return self._confirm(pause, failure)

    def canary_refused(self, canary: Row, failure: Failure, refusal: Refusal) -> bool:
        """Note a refusal of a canary that asked for an outage; return whether an outage begins with it."""
        begins = self.canary_failed(failure)
        self._canaries.append(canary)
        if self.refusals.add(canary, refusal, is_answered=True) and self.pause is not None:
            self.pause = self.pause._replace(asks=True)
        return begins

    def doubt(self, kind: str, message: str, now_s: float, *, asks: bool = False) -> Pause:
        """Pause admission until a probe succeeds; `asks`: with a canary, because of a refusal."""
        pause = self.pause = Pause(self._failing_since_s if self._in_a_row else now_s, now_s, kind, message, asks=asks)
        self.probed(now_s)
        return pause

    def probed(self, now_s: float) -> None:
        """Note that a probe is sent, and set the time of the next."""
        if self.pause is not None:
            wait_s = _PROBE_SHARE * (now_s - self.pause.since_s)
            self.probe_at_s = now_s + min(max(wait_s, _PROBE_FIRST_S), _PROBE_LAST_S)

    def refused(self, row: Row, failure: Failure, refusal: Refusal, *, is_answered: bool, is_first: bool) -> None:
        """Note a refusal of a row; see `Refusals.add`."""
        if failure.sent_s < self._recovered_s:
            return
        self._suspect(row, failure)
        asks = self.refusals.add(row, refusal, is_answered=is_answered, is_first=is_first)
        if asks and self.pause is None:
            self.doubt(failure.kind, failure.message, failure.failed_s)
        if self.pause is not None:
            rows = self.pause.rows + failure.was_probe
            self.pause = self.pause._replace(rows=rows, asks=asks or self.pause.asks)

    def succeeded(
        self, sent_s: float, now_s: float, *, is_canary: bool, spares: bool = False, asks_rows: bool = False
    ) -> Judgement[Row]:
        """Note a success; return what it shows about the suspects.

        Args:
            sent_s: when the request was sent.
            now_s: the time.
            is_canary: whether it was a canary's.
            spares: whether a canary judges no row whose refusal may be the run's although canaries are answered.
            asks_rows: whether a row can be asked instead of a canary.
        """
        pause = self.pause
        if pause is not None and sent_s <= pause.began_s:
            return Judgement({}, [], None) if is_canary else self._succeeded_before(pause, sent_s)
        asks = pause is not None and pause.asks
        is_undecided = is_canary and self.are_rows_exhausted and not asks
        was_refused = is_canary and asks and self.refusals.is_canary_refused
        if is_canary and asks:
            self.refusals.canary_answered(is_last=asks_rows and not spares)
            if asks_rows and self.wants_row:
                return Judgement({}, [], None)  # many rows were refused: a row must show it
        elif self.wants_row:
            self.refusals.row_answered()
        self._end_pause()
        if is_undecided:
            self._is_undecided = True
            self._undecided_since_s = pause.since_s if pause else _NEVER_S
            return Judgement({}, [], pause)
        if is_canary:
            are_guilty = pause is None or not (pause.canaries or pause.is_crash)
        else:
            are_guilty = not self._is_undecided and (pause is None or not pause.is_outage)
        self._is_undecided = False
        if are_guilty:
            spent = self._convicted(sent_s, spares=is_canary and spares)
            return Judgement(
                {row: min(cost, ATTEMPT) for row, cost in spent.items()} if was_refused else spent, [], pause
            )
        self._recovered_s = now_s
        forgiven = list(self.suspects)
        since_s = self._undecided_since_s if pause is None else pause.since_s
        began = [(row, since_s - each.first_sent_s) for row, each in self.suspects.items()]
        present = [(row, survived_s) for row, survived_s in began if survived_s >= 0]
        self.suspects.clear()
        self.refusals.forget(forgiven)
        return Judgement({}, forgiven, pause, present)

    def _succeeded_before(self, pause: Pause, sent_s: float) -> Judgement[Row]:
        """Note a success of a row that was sent before the pause. It judges refusals, as if there were no pause."""
        if not pause.asks or pause.is_outage:
            return Judgement({}, [], None)
        spent = self._convicted(sent_s)
        shows_something = self.refusals.others_answered() or bool(spent)
        if not shows_something or self.refusals.is_enough:
            return Judgement(spent, [], None)
        self._end_pause()
        self.refusals.begin_again()
        return Judgement(spent, [], pause)

    def _end_pause(self) -> None:
        self.pause = None
        self.failures = 0
        self._in_a_row.clear()
        self._blamed = 0
        self.refusals.pause_ended(self._canaries)
        self._canaries.clear()

    def _suspect(self, row: Row, failure: Failure) -> None:
        earlier = self.suspects.pop(row, None)
        cost, first_sent_s = (earlier.cost, earlier.first_sent_s) if earlier else (0, inf)
        if failure.loss is not Loss.UNREACHED:
            first_sent_s = min(failure.sent_s, first_sent_s)
        self.suspects[row] = Suspicion(cost + failure.cost, failure.failed_s, first_sent_s)

    def _confirm(self, pause: Pause, failure: Failure, *, is_crash: bool = False) -> bool:
        is_crash = is_crash or pause.is_crash
        self.pause = pause._replace(kind=failure.kind, message=failure.message, is_outage=True, is_crash=is_crash)
        return not pause.is_outage

    def _convicted(self, sent_s: float, *, spares: bool = False) -> dict[Row, int]:
        """Remove and return the suspects whose failures came before a successful request was sent."""
        spent: dict[Row, int] = {}
        for row, (cost, last_s, _) in self.suspects.items():
            if last_s > sent_s:
                break
            if not (spares and self.refusals.is_spared(row)):
                spent[row] = cost
        for row in spent:
            del self.suspects[row]
        self.refusals.forget(spent)
        return spent
