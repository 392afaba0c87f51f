"""What becomes of a request when an attempt has ended: its outcome, or another attempt and when. Pure: time is given.

Every verdict is answered three ways here: what the row gets, what the limit is told, and what the health is told.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.backlog import Work, cost_of
from batchrun.endpoint.pool.health import Failure
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.retry import Backoff, advice_s, backoff_s
from batchrun.endpoint.pool.verdicts import EFFECTS, Verdict, judge
from batchrun.records import Attempted, Event, Fault, Outcome, Paused, Reply, Resumed, Retried, Spent, Stop

_THROTTLED = Backoff(base_s=0.1, cap_s=2.0)
"""Waits of a row that found no slot. The limit holds it back, so the row itself need not wait long. It caps advice too:
a LiteLLM proxy says `Retry-After: 60` where a slot is free half a second later."""

_AFTER_OUTAGE_S = 1.0
"""Longest that a row still waits once an outage is over, whatever it was told in it."""

_RATE_LIMITED = Backoff(base_s=2.0, cap_s=60.0)
"""Waits of admission after a rate was exceeded and the server did not say for how long; rates count by the minute."""

_FALTERS = 3
"""Failures in a row, and as many as half of what is in flight, until the limit is told. A server that has too much to
do fails again and again between two answers; where a share of the attempts fails by chance, answers come between."""

_INVALID = "invalid_response"

_KEPT_OF_FAILURE_BYTES = 1 << 20
"""How much is kept of what a server said when it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user allows."""

    max_attempts: int = 5
    patience_s: float = 43_200.0
    backoff: Backoff = field(default_factory=Backoff)


class Settling:
    """Decides over requests whose attempt has ended."""

    def __init__(
        self,
        admission: Admission,
        policy: Policy,
        *,
        rates: Rates | None,
        repair: Repair | None,
        answered: Iterable[str],
        on_outcome: Callable[[Outcome], None],
        on_event: Callable[[Event], None],
        stop: Callable[[Stop], None],
        uniform: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        self._admission, self._policy, self._rates = admission, policy, rates
        self._limit = admission.limit
        self._on_outcome, self._on_event, self._stop = on_outcome, on_event, stop
        self._uniform, self._unix_s = uniform, unix_s
        self._repair = repair
        self.throttled = 0
        """How many attempts were rejected for concurrency or a rate."""
        self._answered_models = set(answered)
        self._rate_limited = 0  # episodes in a row

    def settle(self, work: Work, result: Reply | Fault, now_s: float) -> None:
        """Decide what becomes of a request that is no longer in flight."""
        verdict = judge(result)
        lane, in_flight = self._admission.lane(work.request.model), self._admission.in_flight
        was_probe = lane.ends_probe(work)
        if work.is_canary:
            is_throttled = verdict.kind is not None and EFFECTS[verdict.kind].row == "again, free"
            self._on_event(Attempted(work.request.model, 1, int(is_throttled)))
        if work.reserve is not None and self._admission.budget is not None:
            self._admission.budget.settle(work.reserve, work.request.model, verdict, result)
        if verdict.kind is None:
            self._limit.completed(work.level, now_s - work.sent_s, in_flight, now_s)
            self._succeed(lane, work, result, verdict, now_s)
        elif EFFECTS[verdict.kind].row != "failed":
            work.failure = (result, verdict)
            if any(count is not None for count in verdict.usage):  # of no use, and paid for all the same
                self._on_event(Spent(work.request.model, verdict.usage))
            self._fail(lane, work, now_s, was_probe=was_probe)
        elif work.is_canary:  # who judges a request does work
            self._judge(lane, work, now_s)
        else:
            self._on_outcome(self._outcome(work, result, verdict))

    def leave(self) -> None:
        """Tell of the attempts of rows that stay open: their outcomes, in a later run, will not know of them."""
        for lane in self._admission.lanes:
            for work in lane.backlog:
                if work.attempts:
                    self._on_event(Attempted(lane.model, work.attempts, work.throttled))

    # Success.

    def _succeed(self, lane: Lane, work: Work, result: Reply | Fault, verdict: Verdict, now_s: float) -> None:
        if lane.troubled_since_s is not None or lane.health.is_troubled:
            self._judge(lane, work, now_s)
        self._answered_models.add(work.request.model)
        if work.attempts - work.throttled == 1:
            lane.brownout.succeeded()
        if self._rates is not None:
            self._rates.learn(work.request, verdict.usage.total_tokens)
        if work.is_canary:
            self._on_event(Spent(work.request.model, verdict.usage))
        elif self._repair is None or not self._is_amended(self._repair, lane, work, result, verdict, now_s):
            self._on_outcome(self._outcome(work, result, verdict))

    def _is_amended(
        self, repair: Repair, lane: Lane, work: Work, result: Reply | Fault, verdict: Verdict, now_s: float
    ) -> bool:
        """Return whether an answer does not fit the job's schema: then it is asked for again, or settled as failed."""
        assert isinstance(result, Reply)
        complaint = repair.complaint(result.body)
        if complaint is None:
            return False
        self._on_event(Spent(work.request.model, verdict.usage))
        if work.repairs < repair.attempts:
            work.repairs += 1
            work.request = repair.asked_again(work.request, work.first_body, result.body, complaint)
            lane.backlog.put(work, now_s)
            self._on_event(Retried(work.request.model, _INVALID, complaint.text, 0.0))
        else:
            self._on_outcome(self._outcome(work, result, Verdict(_INVALID, complaint.text, verdict.usage)))
        return True

    def _judge(self, lane: Lane, work: Work, now_s: float) -> None:
        """Let a success decide over its model's failures before it."""
        if not (work.is_canary and lane.health.are_rows_exhausted):
            lane.troubled_since_s = None
        self._rate_limited = 0
        spent, forgiven, ended = lane.health.succeeded(work.sent_s, now_s, is_canary=work.is_canary)
        if ended is not None and ended.is_outage:
            self._on_event(Resumed(lane.model, now_s - ended.since_s))
            lane.backlog.hasten(now_s + _AFTER_OUTAGE_S)
        if ended is not None and ended.kind == "throttled":
            self._limit.restore(now_s)
        for each, cost in spent.items():
            each.spent += cost
            if each.spent >= each.allowed and each.failure is not None and lane.backlog.unpark(each):
                self._on_outcome(self._outcome(each, *each.failure))
        for each in forgiven:
            each.setbacks = 0
            if lane.backlog.unpark(each):
                self._send_again(lane, each, 0.0, now_s)

    # Failure.

    def _fail(self, lane: Lane, work: Work, now_s: float, *, was_probe: bool) -> None:
        if lane.troubled_since_s is None:
            lane.troubled_since_s = now_s
        if EFFECTS[work.kind].row == "stays open" and self._is_refused(lane, work):
            self._refuse(work)
            return
        self._tell_health(lane, work, now_s, was_probe=was_probe)
        self._tell_limit(lane, work, now_s)
        self._lose_patience(work, now_s - lane.troubled_since_s)
        if work.is_canary:
            return
        wait_s = self._wait_s(work, now_s)
        if work.spent + lane.health.suspicion(work) < work.allowed:
            self._send_again(lane, work, wait_s, now_s)
        else:
            lane.backlog.park(work)

    def _send_again(self, lane: Lane, work: Work, wait_s: float, now_s: float) -> None:
        lane.backlog.put(work, now_s + wait_s)
        self._on_event(Retried(work.request.model, work.kind, work.message, wait_s))

    def _lose_patience(self, work: Work, waited_s: float) -> None:
        if waited_s > self._policy.patience_s:
            its = f"{work.request.model}: " if len(self._admission.lanes) > 1 else ""
            message = (
                f"{its}nothing was answered for {waited_s:.0f} s: {work.message}; run the same command again to go on"
            )
            self._stop(Stop(kind=work.kind, message=message, exit_code=5))

    def _is_refused(self, lane: Lane, work: Work) -> bool:
        """Return whether a refusal is the whole run's, not this row's."""
        if not self._answered_models:
            return True
        if work.kind == "model_not_found" and work.request.model not in self._answered_models:
            return True
        return lane.health.refused(work, is_canary=work.is_canary)

    def _refuse(self, work: Work) -> None:
        effect = EFFECTS[work.kind]
        assert effect.exit_code is not None, work.kind
        whose = f"{work.request.model}: " if work.kind == "model_not_found" else ""
        message = f"{whose}{work.message.rstrip('.')}; {effect.cure}"
        self._stop(Stop(kind=work.kind, message=message, exit_code=effect.exit_code))

    def _tell_limit(self, lane: Lane, work: Work, now_s: float) -> None:
        effect, in_flight = EFFECTS[work.kind].limit, self._admission.in_flight
        if effect == "down":
            self._limit.throttled(in_flight, now_s - work.sent_s, now_s)
        elif effect == "growth stops" and self._falters(lane):
            self._limit.faltered(now_s)

    def _falters(self, lane: Lane) -> bool:
        """Return whether the endpoint has too much to do, by its failures. A model that is away tells nothing."""
        return lane.health.pause is None and lane.health.failures >= max(_FALTERS, self._admission.in_flight / 2)

    def _tell_health(self, lane: Lane, work: Work, now_s: float, *, was_probe: bool) -> None:
        """Note a failure, unless it says nothing of the endpoint: a rejection where others hold the slots."""
        cost = 0
        if EFFECTS[work.kind].row == "again, free":
            work.throttled += 1
            self.throttled += 1
            if work.kind == "rate_limited" or (self._admission.in_flight and not was_probe):
                return
        else:
            work.setbacks += 1
            cost = max(1, round(cost_of(work.kind) * lane.brownout.weight))
            if work.attempts - work.throttled == 1:
                lane.brownout.failed()
        failure = Failure(work.kind, work.message, cost, work.sent_s, now_s, lane.in_flight, was_probe)
        begins = lane.health.canary_failed(failure) if work.is_canary else lane.health.failed(work, failure)
        if begins:
            self._on_event(Paused(lane.model, work.kind, work.message))

    # Waiting.

    def _wait_s(self, work: Work, now_s: float) -> float:
        """Return how long the request waits; of a rate, how long all do."""
        result = work.failure[0] if work.failure else None
        advice = advice_s(result.headers, self._unix_s()) if isinstance(result, Reply) else None
        if work.kind == "throttled":
            wait_s = backoff_s(work.throttled, _THROTTLED, self._uniform) if advice is None else advice
            return min(_THROTTLED.cap_s, wait_s)
        if work.kind == "rate_limited":
            return self._close(advice, now_s)
        wait_s = backoff_s(work.setbacks, self._policy.backoff, self._uniform)
        return wait_s if advice is None else max(advice, wait_s)

    def _close(self, advice: float | None, now_s: float) -> float:
        """Close admission for a while. Rejections while it is closed already belong to the same episode."""
        wait_s = backoff_s(self._rate_limited + 1, _RATE_LIMITED, self._uniform) if advice is None else advice
        if self._admission.pace.exceeded(now_s, wait_s):
            self._rate_limited += 1
        return wait_s

    def _outcome(self, work: Work, result: Reply | Fault, verdict: Verdict) -> Outcome:
        request = work.request
        status, body = (result.status, result.body) if isinstance(result, Reply) else (None, None)
        if verdict.kind is not None and verdict.kind != _INVALID and body is not None:
            body = body[:_KEPT_OF_FAILURE_BYTES]
        return Outcome(
            request.row,
            request.model,
            request.sample,
            request.key,
            request.custom_id,
            verdict.kind,
            verdict.message or None,
            status,
            work.attempts,
            result.latency_s,
            int(self._unix_s() * 1000),
            body,
            verdict.usage,
            work.throttled,
        )
