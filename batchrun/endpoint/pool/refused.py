"""What becomes of a refused row or canary: who is asked next, and when a model is closed. Pure: time is given.

`refusals` holds the rule. A row that was refused is held back until it is judged.
"""

from collections.abc import Callable

from batchrun.endpoint.pool.absence import Absence
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.closure import REFUSED, Closure
from batchrun.endpoint.pool.failures import Failure, Refusal
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.refusals import Whose
from batchrun.endpoint.pool.rules import Rules
from batchrun.endpoint.pool.verdicts import ATTEMPT, EFFECTS, Effect, ForRow, ForRun
from batchrun.records import Reply, Stop


class Refused:
    """Carries out what `Refusals` decides."""

    def __init__(
        self,
        rules: Rules,
        closure: Closure,
        *,
        judge: Callable[[Lane, Work, float], None],
        absence: Absence,
    ) -> None:
        """Begin without refusals.

        Args:
            rules: of the pool.
            closure: closes models.
            judge: lets a request that shows that its model works decide over the failures before it.
            absence: reports the outages that canaries show.
        """
        self._rules, self._closure, self._judge, self._absence = rules, closure, judge, absence

    def refusal_of(self, lane: Lane, work: Work, effect: Effect) -> Refusal | None:
        """Return why the last attempt was refused; None when the endpoint failed in another way."""
        result, verdict = work.failure or (None, None)
        if verdict is None or not isinstance(result, Reply):
            return None
        is_never = effect.run is ForRun.PROBES_OR_STOPS and not lane.has_answered
        is_refusal = effect.row is ForRow.OPEN or effect.run is ForRun.CONTINUES_OR_STOPS
        if not (is_refusal or is_never):
            return None
        return Refusal(
            work.kind,
            effect.is_named,
            result.status,
            verdict.reason,
            is_open=effect.row is ForRow.OPEN,
            is_lasting=effect.run is ForRun.STOPS_RESUMABLE,
        )

    def settle(self, lane: Lane, work: Work, refusal: Refusal, now_s: float, *, was_probe: bool) -> None:
        """Make a refused row a suspect; let a refused canary judge."""
        row = EFFECTS[work.kind].row
        work.setbacks += 1
        cost = work.allowed if row is ForRow.FAILED else ATTEMPT
        failure = Failure(work.kind, work.message, cost, work.sent_s, now_s, lane.in_flight, was_probe)
        if not work.is_canary:
            self._row_refused(lane, work, failure, refusal)
        elif lane.health.pause is None:
            pass  # it asked for what others have shown meanwhile
        elif lane.health.pause.asks and work.is_repeat:
            self._witness_refused(lane, work, now_s)
        elif lane.health.pause.asks:
            self._canary_refused(lane, work, refusal, now_s)
        elif row is ForRow.FAILED and not lane.health.refusals.is_like_pending(refusal):  # it judges: it works
            self._judge(lane, work, now_s)
        elif lane.health.canary_refused(work, failure, refusal):
            self._absence.begins(lane, now_s)

    def is_refused_anyway(self, lane: Lane) -> bool:
        """Close a model although a canary was answered, if very many rows were refused and none is left to ask."""
        row, pause = lane.health.refusals.one_of_many, lane.health.pause
        if row is None or pause is None or not pause.asks or lane.in_flight or self._find_row(lane):
            return False
        self._close(lane, row, is_canary_vain=True)
        return True

    def _row_refused(self, lane: Lane, work: Work, failure: Failure, refusal: Refusal) -> None:
        """Note the refusal of a row, and whether it was sent to find out whose the refusals are."""
        is_witness = failure.was_probe and lane.health.wants_row
        lane.health.refused(work, failure, refusal, is_answered=lane.has_answered, is_first=not work.spent)
        if is_witness:
            self._witness_refused(lane, work, failure.failed_s)

    def _witness_refused(self, lane: Lane, work: Work, now_s: float) -> None:
        """Note the refusal of a row that was sent to find out; close its model if that proves that it is the run's."""
        is_last = work.is_repeat or not self._can_repeat(lane)
        if lane.health.refusals.row_refused(is_last=is_last):
            self._close(lane, work, is_canary_vain=lane.health.refusals.is_canary_vain)
        else:
            lane.health.probe_at_s = now_s  # the next is sent at once

    def _canary_refused(self, lane: Lane, work: Work, refusal: Refusal, now_s: float) -> None:
        is_shut = EFFECTS[work.kind].row is not ForRow.FAILED
        whose = lane.health.refusals.canary_refused(refusal, is_answered=lane.has_answered, is_shut=is_shut)
        if whose is Whose.ROWS:
            self._judge(lane, work, now_s)
        elif whose is Whose.RUNS and self._find_row(lane):
            lane.health.probe_at_s = now_s  # the row that shows it is sent at once
        elif whose is Whose.RUNS:
            self._close(lane, work, is_canary_vain=False)

    def _find_row(self, lane: Lane) -> bool:
        """Return whether a row can be asked: a fresh one, or one that was answered."""
        return lane.has_fresh or self._can_repeat(lane)

    def _can_repeat(self, lane: Lane) -> bool:
        """Return whether a row that was answered can be asked once more; look for one of an earlier execution."""
        if lane.answered_request is None and lane.is_proven:
            lane.answered_request = self._rules.answered_before(lane.model)
        return lane.answered_request is not None

    def _close(self, lane: Lane, work: Work, *, is_canary_vain: bool) -> None:
        """Send nothing more to a model that refuses all rows as it refused this request."""
        effect = EFFECTS[work.kind]
        why = work.message.rstrip(".")
        if is_canary_vain:
            why += " (a small test request is answered, but every row is refused)"
        message = f"{why}; {self._rules.cure_of(work.kind, lane.model)}"
        reason = Stop(kind=work.kind, message=message, exit_code=effect.run.exit_code or REFUSED)
        self._closure.close(lane, reason, is_of_model=effect.is_of_model)
