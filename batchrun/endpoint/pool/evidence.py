"""What a failed attempt shows about the limit and about its model, and what it may cost its row. Pure."""

from batchrun.endpoint.pool.absence import Absence
from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.failures import Failure, Loss
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.verdicts import ATTEMPT, Effect, ForLimit, ForRow, ForRun
from batchrun.records import Fault, Reply

_FALTERS = 3
"""Failures in a row, and as many as half of what is in flight, until the limit stops growing. A server that has too
much to do fails again and again between two answers; where a share of the attempts fails by chance, answers come
between."""

_STALE = 3
"""How often a row may meet a connection that the server had closed, at no cost. A server that closes every connection
after its first answer would otherwise hold a row for ever."""

_BREAKS = frozenset({"connection", "bad_reply"})
"""Kinds of faults in which no connection was made, or it broke before or in an answer."""

_BAD_GATEWAY = 502


class Evidence:
    """Passes failures on to the limit and to the health of their model."""

    def __init__(self, admission: Admission, absence: Absence) -> None:
        self._admission, self._limit = admission, admission.limit
        self._absence = absence

    def is_only_stale(self, lane: Lane, work: Work, now_s: float) -> bool:
        """Return whether an attempt only met a connection that the server had closed: alone, that shows nothing."""
        result = work.failure[0] if work.failure else None
        if not isinstance(result, Fault) or not result.is_stale or work.is_canary or work.stale >= _STALE:
            return False
        work.stale += 1
        if lane.health.broke(work, self._failure(lane, work, now_s, cost=0, was_probe=False)):
            self._absence.begins(lane, now_s)
        return True

    def replied(self, lane: Lane, work: Work, now_s: float) -> None:
        """Note a reply: what failed while its request was in flight did not take the endpoint down."""
        for each in lane.health.crash.failed_apart(work.sent_s, now_s):
            each.fails_apart, each.is_shared = True, False

    def is_never_let_in(self, lane: Lane, work: Work, effect: Effect, now_s: float) -> bool:
        """Note a rejection; return whether it is certain that the row is rejected for itself."""
        work.throttled += 1
        if work.is_canary:
            lane.rejections.canary_rejected()
            return False
        is_certain = lane.rejections.rejected(work, now_s, closes=effect.run is ForRun.WAITS)
        if is_certain:
            lane.rejections.forget(work)
            lane.health.forget(work)
            lane.apart.release(work)
        return is_certain

    def price(self, work: Work, cost: int, *, is_canary: bool) -> int:
        """Return what a row pays of the cost of its failures.

        Where there are few slots, a short outage can look like a few rows that fail again and again: nothing was
        answered between their attempts. So where several have failed like that, none pays its last attempt for it,
        once.

        Args:
            work: the row.
            cost: of its failures.
            is_canary: whether a canary has judged it.
        """
        left = work.allowed - work.spent - ATTEMPT
        is_shown = is_canary or work.is_unseen_alone or work.unseen < work.attempts - work.throttled
        if cost <= left or is_shown or work.is_spared:
            return cost
        work.is_spared = True
        return max(0, left)

    def note(self, lane: Lane, work: Work, effect: Effect, now_s: float, *, was_probe: bool) -> None:
        """Note a failure that is not a refusal."""
        if self._admission.bundles is not None:
            self._admission.bundles.limit.broke(work)
        self._tell_health(lane, work, effect, now_s, was_probe=was_probe)
        self._tell_limit(lane, work, effect, now_s)

    def _cost(self, lane: Lane, work: Work, effect: Effect) -> int:
        """Return what a failure costs if it is the row's own."""
        result = work.failure[0] if work.failure else None
        cost = max(1, round(effect.row.cost * lane.brownout.weight))
        if isinstance(result, Fault) and not result.was_sent:
            cost = 0  # where no connection was made, no row can be at fault
        lane.brownout.noted(work.attempts - work.throttled, works=False)
        return cost

    def _tell_limit(self, lane: Lane, work: Work, effect: Effect, now_s: float) -> None:
        if lane.rejections.is_known(work):
            return
        if effect.limit is ForLimit.DOWN:
            self._limit.throttled(self._admission.in_flight, now_s - work.sent_s, now_s)
        elif effect.limit is ForLimit.GROWTH_STOPS and self._falters(lane):
            self._limit.faltered(now_s)

    def _falters(self, lane: Lane) -> bool:
        """Return whether failures show that the endpoint has too much to do; while a model is away they do not."""
        return lane.health.pause is None and lane.health.failures >= max(_FALTERS, self._admission.in_flight / 2)

    def _tell_health(self, lane: Lane, work: Work, effect: Effect, now_s: float, *, was_probe: bool) -> None:
        """Note a failure, unless it says nothing about the endpoint: a rejection where others hold the slots."""
        cost = 0
        if effect.row is not ForRow.AGAIN_FREE:
            work.setbacks += 1
            cost = self._cost(lane, work, effect)
            self._note_unseen(lane, work)
        pause = lane.health.pause
        asks = pause is not None and pause.asks  # because of a refusal: what is in flight may hold all slots
        is_alone = not self._admission.in_flight or (was_probe and not asks)
        if effect.run in (ForRun.PROBES_IF_ALONE, ForRun.WAITS) and not is_alone:
            return
        if effect.run is ForRun.WAITS and (lane.queue or not self._admission.supply.is_fed):
            return  # fresh requests will show whether others are let in
        failure = self._failure(lane, work, now_s, cost=cost, was_probe=was_probe)
        work.is_shared = False
        if work.failure and isinstance(work.failure[0], Reply):
            self.replied(lane, work, now_s)
        begins = lane.health.canary_failed(failure) if work.is_canary else lane.health.failed(work, failure)
        lost = lane.health.crash.lost_together
        if lost:
            lane.brownout.explained()
        for each in lost:
            each.is_shared, each.survived_s = True, now_s - each.sent_s
        if begins:
            self._absence.begins(lane, now_s)

    def _note_unseen(self, lane: Lane, work: Work) -> None:
        """Count the failures of a row between whose attempts nothing that was sent was answered."""
        if not work.unseen or work.unseen_since_s < lane.worked_s < work.sent_s:
            work.unseen, work.unseen_since_s, work.is_unseen_alone = 0, work.sent_s, True
        work.unseen += 1
        if len(lane.health.suspects) > (work in lane.health.suspects):
            work.is_unseen_alone = False

    def _failure(self, lane: Lane, work: Work, now_s: float, *, cost: int, was_probe: bool) -> Failure:
        return Failure(
            work.kind,
            work.message,
            cost,
            work.sent_s,
            now_s,
            lane.in_flight,
            was_probe,
            loss=_loss_of(work),
            is_trial=lane.apart.is_tried_by_itself(work),
            is_own=work.fails_apart,
            is_blamed=work.spent > 0 and lane.brownout.blames_rows,
        )


def _loss_of(work: Work) -> Loss | None:
    """Return how the endpoint was gone, or the server behind a gateway; None when it was not."""
    result = work.failure[0] if work.failure else None
    if isinstance(result, Reply):
        return Loss.BROKEN if result.status == _BAD_GATEWAY else None
    if result is None or result.kind not in _BREAKS:
        return None
    if not result.was_sent:
        return Loss.UNREACHED
    return Loss.STALE if result.is_stale else Loss.BROKEN
