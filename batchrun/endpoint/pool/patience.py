"""How long a model that is away is waited for, and what ends the wait. Pure: time is given."""

from batchrun.endpoint.pool.absence import Absence
from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.closure import REFUSED, Closure
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.rules import Rules
from batchrun.endpoint.pool.verdicts import EFFECTS, UNHEARD, ForRow
from batchrun.records import Stop


class Patience:
    """The patience with one endpoint."""

    def __init__(
        self, admission: Admission, closure: Closure, rules: Rules, absence: Absence, *, is_alone: bool
    ) -> None:
        """Begin.

        Args:
            admission: of the endpoint.
            closure: closes models.
            rules: have the times.
            absence: reports the pauses that last.
            is_alone: whether the run has no other endpoint.
        """
        self._admission, self._closure, self._rules = admission, closure, rules
        self._absence, self._is_alone = absence, is_alone

    def look(self, now_s: float) -> None:
        """Report the pauses that last, and lose patience where a probe takes long; call it every few moments."""
        self._absence.look(now_s, is_heard=self._admission.is_heard)
        for lane in list(self._admission.lanes):
            pause = lane.health.pause
            if pause is not None and not pause.asks:
                self.lose(lane, pause.kind, pause.message, lane.quiet_s(now_s))

    def lose(self, lane: Lane, kind: str, message: str, waited_s: float) -> None:
        """Stop the run if the endpoint has never replied, and close the model if it was away for too long."""
        effect, why = EFFECTS[kind], message.rstrip(".")
        if not self._admission.is_heard and waited_s > self._rules.policy.unheard_s:
            self._leave_unheard(lane, why)
        elif waited_s > self._rules.policy.patience_s:
            refused = effect.run.exit_code if effect.row is ForRow.OPEN else None  # it waited for a canary to confirm
            cure = "run the same command again to resume" if refused is None else self._rules.cure_of(kind, lane.model)
            message = f"no request was answered for {waited_s:.0f} s: {why}; {cure}"
            self._closure.close(lane, Stop(kind=kind, message=message, exit_code=5 if refused is None else refused))

    def _leave_unheard(self, lane: Lane, why: str) -> None:
        """Stop the run; where there are other endpoints, close the model unless one of them has replied.

        As long as others answer the rows, it costs nothing to go on asking: the server may still load its model.
        """
        cure = self._rules.cure_of(UNHEARD, lane.model)
        message = f"nothing has answered yet at {self._rules.place}: {why}; {cure}"
        stop = Stop(kind=UNHEARD, message=message, exit_code=REFUSED)
        if self._is_alone:
            self._closure.stop_run(stop)
        elif not any(each.room.is_heard and not (each.is_closed or each.room.is_spent) for each in lane.siblings):
            self._closure.close(lane, stop)
