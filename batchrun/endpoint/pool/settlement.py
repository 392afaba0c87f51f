"""What becomes of a request when an attempt has ended: its outcome, or another attempt and when. Pure: time is given.

The table of `verdicts` answers for each kind what the row gets, what the limit learns and what happens to the run. This
module carries that out, and compares no kind by its name.
"""

from collections.abc import Callable, Iterable
from functools import partial

from batchrun.endpoint.pool.absence import Absence
from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.apart import condemnation, is_condemned
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.bundles import Bundles, judge_bundle
from batchrun.endpoint.pool.closure import Closure
from batchrun.endpoint.pool.evidence import Evidence
from batchrun.endpoint.pool.fallback import Fallbacks
from batchrun.endpoint.pool.handover import end_everywhere, leave, leave_at_once, leave_to, leave_waiting, open_siblings
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.outcomes import kept, outcome_of
from batchrun.endpoint.pool.patience import Patience
from batchrun.endpoint.pool.pause import Pause
from batchrun.endpoint.pool.refused import Refused
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.rules import Listeners, Rules
from batchrun.endpoint.pool.verdicts import ATTEMPT, EFFECTS, Effect, ForLimit, ForRow, Verdict
from batchrun.endpoint.pool.waits import Waits
from batchrun.records import Attempted, Fault, Reply, Spent

_AFTER_OUTAGE_S = 1.0
"""Longest that a row still waits once an outage is over, whatever advice it got in it."""


class Settlement:
    """Decides over requests whose attempt has ended."""

    def __init__(
        self,
        admission: Admission,
        closure: Closure,
        rules: Rules,
        listeners: Listeners,
        *,
        endpoint: str,
        is_alone: bool,
        uniform: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        """Begin.

        Args:
            admission: of the endpoint.
            closure: closes models.
            rules: what to decide by.
            listeners: what to report to.
            endpoint: name of the endpoint.
            is_alone: whether the run has no other endpoint.
            uniform: source of numbers in [0, 1).
            unix_s: the clock of `finished_at` and of HTTP dates.
        """
        self._admission, self._limit = admission, admission.limit
        self._closure, self._endpoint, self._unix_s = closure, endpoint, unix_s
        self._rules, self._policy, self._wake = rules, rules.policy, admission.supply.wake
        self._rates = rules.rates if rules.rates is not None and rules.rates.has_tokens else None
        self._repair, self._strict = rules.repair, rules.strict
        self._judged = partial(judge, needs_answer=rules.repair is not None)
        self._on_outcome, self._on_event = listeners.on_outcome, listeners.on_event
        self.absence = Absence(admission, listeners.on_event)  # the models that are away
        self._evidence = Evidence(admission, self.absence)
        self._bundles = admission.bundles = Bundles(rules.join, listeners, endpoint)
        self._fallbacks = Fallbacks(rules.fallbacks, admission.supply, closure) if rules.fallbacks else None
        self.patience = Patience(admission, closure, rules, self.absence, is_alone=is_alone)  # with absent models
        self._waits = Waits(admission.pace, rules.policy.backoff, uniform=uniform, unix_s=unix_s)
        self.throttled = 0
        """How many attempts were rejected for concurrency or a rate."""
        self._refused = Refused(rules, closure, judge=self._judge, absence=self.absence)

    def settle(self, lane: Lane, work: Work, result: Reply | Fault, now_s: float) -> None:
        """Decide what becomes of a request that is no longer in flight; `lane` is its model's."""
        admission, request = self._admission, work.request
        admission.is_heard = admission.is_heard or isinstance(result, Reply)
        verdict = judge_bundle(request, result) if request.members else self._judged(result, request.kind, request.body)
        effect = None if verdict.kind is None else EFFECTS[verdict.kind]
        was_probe = lane.ends_probe(work)
        if work.is_canary:
            is_throttled = effect is not None and effect.row is ForRow.AGAIN_FREE
            self._on_event(Attempted(work.request.model, 1, int(is_throttled), self._endpoint))
        if work.reserve is not None and admission.budget is not None:
            admission.budget.settle(work.reserve, work.request.model, verdict, result)
        if effect is None:
            self._limit.completed(work.level, now_s - work.sent_s, admission.in_flight, now_s)
            self._succeed(lane, work, result, verdict, now_s)
        elif self._strict is not None and self._strict.is_refused(work, result, verdict, self._on_event):
            self._put(lane, work, now_s)
        elif isinstance(result, Reply) or effect.row is not ForRow.FAILED:
            work.failure = (kept(result), verdict)
            if any(count is not None for count in verdict.usage):  # of no use, but paid for
                self._on_event(Spent(work.request.model, verdict.usage, self._endpoint))
            if not self._passes_over(lane, work, now_s):
                self._fail(lane, work, effect, now_s, was_probe=was_probe)
        elif work.is_canary:  # an endpoint that judges a request works
            self._judge(lane, work, now_s)
        else:
            self._settle(work, result, verdict)

    def _passes_over(self, lane: Lane, work: Work, now_s: float) -> bool:
        """Have a row sent again whose attempt says nothing now: it was given up, or stale, or its model is closed."""
        if lane.siblings:
            self._wake()  # what waits may have to be left to others
        if lane.is_closed:
            self._put(lane, work, now_s)
            return True
        was_given_up, work.is_given_up = work.is_given_up and work.kind == "timeout", False
        if was_given_up:
            work.spent += ATTEMPT
            if siblings := open_siblings(lane):
                leave_to(lane, work, siblings[0], now_s)
                return True
        if is_nothing := was_given_up or self._evidence.is_only_stale(lane, work, now_s):
            self._put(lane, work, now_s)
        return is_nothing

    def _put(self, lane: Lane, work: Work, due_s: float) -> None:
        """Have a row sent again: by others if its model is closed here, by a later execution if it is everywhere."""
        if lane.queue.is_closed:
            self._closure.leave_open(work, self._endpoint)
        elif lane.is_closed:
            leave(lane, work)
        else:
            lane.backlog.put(work, due_s)

    def leave(self, in_flight: Iterable[Work]) -> None:
        """Report the attempts of all rows that stay open; of those in flight, the earlier attempts."""
        for lane in self._admission.lanes:
            for work in lane.backlog:
                self._closure.leave_open(work, self._endpoint)
        for work in in_flight:
            self._closure.leave_open(work, self._endpoint, in_flight=1)

    # Success.

    def _succeed(self, lane: Lane, work: Work, result: Reply | Fault, verdict: Verdict, now_s: float) -> None:
        if lane.troubled_since_s is not None or lane.health.is_troubled:
            self._judge(lane, work, now_s)
        if lane.rejections.answered(None if work.is_canary else work, work.throttled, work.sent_s):
            self._admission.pace.lift()
        lane.apart.answered(work)
        lane.answered(now_s - work.sent_s, now_s)
        if not work.is_canary:
            lane.is_proven, lane.answered_request = True, work.request.rows[0]
        lane.brownout.noted(work.attempts - work.throttled, works=True)
        if self._rates is not None:
            self._rates.learn(work.request, verdict.usage.total_tokens)
        if self._bundles.limit.has_failed and not work.request.members:
            self._bundles.limit.answered(work, 1)
        if work.is_canary:
            self._on_event(Spent(work.request.model, verdict.usage, self._endpoint))
        elif work.request.members:
            if not self._bundles.settle_together(work, result, verdict, self._unix_s()):
                self._take_apart(lane, work, result, verdict, now_s)
        elif self._repair is None:
            self._settle(work, result, verdict)
        else:
            self._check(self._repair, lane, work, result, verdict, now_s)

    def _take_apart(self, lane: Lane, work: Work, result: Reply | Fault, verdict: Verdict, now_s: float) -> None:
        """Settle the requests of a bundle that was answered; ask again for what it does not answer."""
        answered, again = self._bundles.take_apart(work, result, verdict)
        for part, reply, its in answered:
            if its.kind is not None or self._repair is None:
                self._settle(part, reply, its)
            else:
                self._check(self._repair, lane, part, reply, its, now_s)
        for each in again:
            self._put(lane, each, now_s)

    def _check(
        self, repair: Repair, lane: Lane, work: Work, result: Reply | Fault, verdict: Verdict, now_s: float
    ) -> None:
        """Settle an answer that fits the job's schema; ask again for one that does not, or settle it as failed."""
        assert verdict.answer is not None
        complaint = repair.complaint(verdict.answer)
        if complaint is None:
            self._settle(work, result, verdict)
            return
        self._on_event(Spent(work.request.model, verdict.usage, self._endpoint))
        if EFFECTS[complaint.kind].row is ForRow.REPAIR and work.repairs < repair.attempts:
            work.repairs += 1
            work.request = repair.asked_again(work.request, work.first_body, verdict.answer, complaint)
            self._put(lane, work, now_s)
        else:
            self._settle(work, result, Verdict(complaint.kind, complaint.text, verdict.usage))

    def _judge(self, lane: Lane, work: Work, now_s: float) -> None:
        """Let a success decide over its model's failures before it."""
        is_canary = work.is_canary and not work.is_repeat
        if is_canary and self._refused.is_refused_anyway(lane):
            return
        if not (is_canary and lane.health.are_rows_exhausted):
            lane.troubled_since_s = None
        self._waits.answered()
        self._evidence.replied(lane, work, now_s)
        spent, forgiven, ended, present = lane.health.succeeded(
            work.sent_s, now_s, is_canary=is_canary, spares=lane.takes_fresh, asks_rows=lane.can_ask_row
        )
        if ended is not None:
            self._come_back(lane, ended, now_s)
        for each, cost in spent.items():
            self._charge(lane, each, self._evidence.price(each, cost, is_canary=is_canary), now_s)
        if present is not None:
            lane.brownout.explained()
            for each in lane.apart.outage_ended(present, now_s):
                lane.backlog.put(each, now_s)
        for each in forgiven:
            self._forgive(lane, each, now_s)

    def _come_back(self, lane: Lane, ended: Pause, now_s: float) -> None:
        """Send rows to a model again that was away."""
        self.absence.ends(lane, ended, now_s)
        if ended.is_outage:
            lane.backlog.hasten(now_s + _AFTER_OUTAGE_S)
        if EFFECTS[ended.kind].limit is ForLimit.DOWN:
            self._limit.restore(now_s)
        if lane.siblings:
            self._wake()  # what waits at others that are away can be sent

    def _charge(self, lane: Lane, work: Work, cost: int, now_s: float) -> None:
        """Let a row pay for its own failures: it fails when it has nothing left."""
        work.spent += cost
        if cost:
            lane.apart.charged(work)
        if work.failure is None or not lane.backlog.unpark(work):
            return
        if work.spent >= work.allowed:
            self._settle(work, *work.failure)
        else:
            lane.backlog.put(work, now_s + self._waits.wait_s(work, EFFECTS[work.kind], now_s))

    def _forgive(self, lane: Lane, work: Work, now_s: float) -> None:
        """Let a row continue that failed in an outage, unless it is the reason for it."""
        work.setbacks = 0
        is_parked = lane.backlog.unpark(work)
        if not is_condemned(work, lane.brownout.least_trials) or work.failure is None:
            if is_parked:
                lane.backlog.put(work, now_s)
        elif is_parked or lane.backlog.take_where(lambda each: each is work):
            self._settle(work, *condemnation(work))

    def leave_to_others(self, now_s: float) -> float | None:
        """Leave rows that wait to other endpoints; return when to look again, if at all."""
        to_blame, again_s = leave_waiting(self._admission.lanes, now_s, is_closed=self._admission.pace.is_closed(now_s))
        for work in to_blame:
            self._settle(work, *condemnation(work))
        return again_s

    # Failure.

    def _fail(self, lane: Lane, work: Work, effect: Effect, now_s: float, *, was_probe: bool) -> None:
        self._limit.break_silence()
        lane.failed(now_s, min(now_s - work.sent_s, self._policy.timeout_s))  # it is older if the machine stood still
        if (refusal := self._refused.refusal_of(lane, work, effect)) is not None:
            self._refused.settle(lane, work, refusal, now_s, was_probe=was_probe)
            self._retry(lane, work, effect, now_s)
            return
        if effect.row is ForRow.AGAIN_FREE:
            self.throttled += 1
            if self._evidence.is_never_let_in(lane, work, effect, now_s):
                assert work.failure is not None
                self._settle(work, *work.failure)
                return
        self._evidence.note(lane, work, effect, now_s, was_probe=was_probe)
        self._retry(lane, work, effect, now_s)

    def _retry(self, lane: Lane, work: Work, effect: Effect, now_s: float) -> None:
        """Have a row sent again, or hold it back: if it was refused, or would end as failed once it is judged."""
        self.patience.lose(lane, work.kind, work.message, lane.quiet_s(now_s))
        if work.is_canary:
            return
        wait_s = self._waits.wait_s(work, effect, now_s, is_alone=lane.rejections.is_known(work))
        is_held = work in lane.health.refusals or work.spent + lane.health.suspicion(work) >= work.allowed
        if effect.row is ForRow.AGAIN_FREE and work.throttled == 1 and open_siblings(lane):
            leave_at_once(lane, work, wait_s, now_s, is_closed=self._admission.pace.is_closed(now_s))
        elif lane.is_closed or not is_held:
            self._put(lane, work, now_s + wait_s)
        else:
            lane.backlog.park(work)

    def _settle(self, work: Work, result: Reply | Fault, verdict: Verdict) -> None:
        if work.request.members:  # not all of them can be at fault
            for half in self._bundles.halve(work, verdict):
                self._put(self._admission.lane(work.request.model), half, work.sent_s)
            return
        outcome = outcome_of(work, result, verdict, int(self._unix_s() * 1000), self._endpoint)
        final = outcome if self._fallbacks is None else self._fallbacks.final(work, outcome)
        if final is not None:
            work.is_settled = True
            self._on_outcome(final)
            for each in end_everywhere(self._admission.lane(outcome.model), work, final) if work.has_moved else ():
                self._on_event(each)
