"""What becomes of the lines of a batch that has ended: outcomes, or requests that are sent again. Pure.

The same table of verdicts holds as for single requests. What differs is what a batch is: all its lines were sent at the
same time, so there is nothing to pace, and a line that may be sent again goes into the next batch.
"""

from collections.abc import Callable
from typing import NamedTuple

from batchrun.endpoint.pool.outcomes import kept
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import ATTEMPT, EFFECTS, ForRow, ForRun, Verdict
from batchrun.records import BY_BATCH, BatchLine, Outcome, Reply, RequestKind, Usage

_OUTAGE_COST = ATTEMPT // 4
"""What a round costs a line at most that a batch answered none in, until such rounds have cost an attempt: an outage is
not the row's fault."""

_ENOUGH_REFUSED = 10
"""Lines of a batch that must all be refused, and none answered, until the job and not its rows is taken to be wrong."""

_MISSING = Reply(500, {}, b'{"error":{"message":"the batch has no line for this request"}}', 0.0)


class Again(NamedTuple):
    """A line that is sent again, and what its answer has used."""

    line: BatchLine
    usage: Usage


class Asked(NamedTuple):
    """Which request a line is for, and who answers it."""

    row: int
    model: str
    sample: int
    endpoint: str
    """Name of the endpoint; empty where the job has one."""


class Rules(NamedTuple):
    """What lines are judged by."""

    kind: RequestKind
    max_attempts: int
    repair: Repair | None
    asked_of: Callable[[BatchLine], Asked]
    """Returns which request a line is for; for which it was written where it is for none."""
    body_of: Callable[[BatchLine], bytes | None]
    """Returns the body that a line was sent with; None where it is not known any more."""
    has_answers: bool
    """Whether the batch has answered any line."""


def settled(line: BatchLine, reply: Reply | None, rules: Rules, now_ms: int) -> Outcome | Again:
    """Return what becomes of a line.

    Args:
        line: of the batch.
        reply: to it; None: it was not run, and costs no attempt.
        rules: to judge by.
        now_ms: Unix time.
    """
    if reply is None:
        return Again(line, Usage())
    verdict = _judged(reply, rules.kind, lambda: rules.body_of(line))
    line = line._replace(attempts=line.attempts + 1)
    if verdict.kind is None:
        return _checked(line, reply, verdict, rules, now_ms)
    effect = EFFECTS[verdict.kind]
    if effect.row is ForRow.FAILED:
        return _outcome(line, reply, verdict, rules, now_ms)
    spent = line.spent + _cost(line, effect.row, rules)
    throttled = line.throttled + (effect.row is ForRow.AGAIN_FREE)
    line = line._replace(spent=spent, throttled=throttled)
    if spent >= rules.max_attempts * ATTEMPT:
        return _outcome(line, reply, verdict, rules, now_ms)
    return Again(line, verdict.usage)


def _cost(line: BatchLine, row: ForRow, rules: Rules) -> int:
    """Return what a failure costs: an attempt, where others were answered, whatever a single request would pay.

    A provider tries a line again for hours. So a round is much more than an attempt that comes late.
    """
    is_outage = row.cost < ATTEMPT and not rules.has_answers and line.spent < ATTEMPT
    return _OUTAGE_COST if is_outage else ATTEMPT


def missing(line: BatchLine, rules: Rules, now_ms: int) -> Outcome | Again:
    """Return what becomes of a line that a completed batch does not have."""
    return settled(line, _MISSING, rules, now_ms)


def refusal(reply: Reply | None, kind: RequestKind, body: Callable[[], bytes | None]) -> Verdict | None:
    """Return why the whole run may be refused, as far as one line shows; None where it is the line's own matter.

    Args:
        reply: to the line.
        kind: of its request.
        body: returns the body that it was sent with; None where it is not known any more.
    """
    verdict = None if reply is None else _judged(reply, kind, body)
    if verdict is None or verdict.kind is None:
        return None
    run = EFFECTS[verdict.kind].run
    return verdict if run in (ForRun.STOPS, ForRun.STOPS_RESUMABLE, ForRun.CONTINUES_OR_STOPS) else None


def stops_run(refused: int, total: int, verdict: Verdict) -> bool:
    """Return whether a batch of which no line was answered ends the run.

    Args:
        refused: how many of its lines were refused for the same reason.
        total: how many it has.
        verdict: on one of them.
    """
    assert verdict.kind is not None
    is_of_job = EFFECTS[verdict.kind].row is ForRow.FAILED
    return refused == total and (refused >= _ENOUGH_REFUSED or not is_of_job)


def refused_outcome(line: BatchLine, message: str, now_ms: int, asked: Asked) -> Outcome:
    """Return the failure of a line that the provider refused before the batch began."""
    return _made(line, "bad_request", message, None, None, Usage(), now_ms, asked)


def _judged(reply: Reply, kind: RequestKind, body: Callable[[], bytes | None]) -> Verdict:
    """Return what a reply means; what an error repeats of the request does not count."""
    verdict = judge(reply, kind)
    return verdict if verdict.kind is None else judge(reply, kind, body() or b"")


def _checked(line: BatchLine, reply: Reply, verdict: Verdict, rules: Rules, now_ms: int) -> Outcome | Again:
    """Return an answer that fits the job's schema; have one that does not asked again, or fail."""
    repair = rules.repair
    complaint = None if repair is None or verdict.answer is None else repair.complaint(verdict.answer)
    if complaint is None or repair is None or verdict.answer is None:
        return _outcome(line, reply, verdict, rules, now_ms)
    if EFFECTS[complaint.kind].row is ForRow.REPAIR and line.repairs < repair.attempts:
        sent = rules.body_of(line)
        first = sent if sent is None or not line.repairs else repair.body_before(sent)
        body = None if first is None else repair.body_again(first, verdict.answer, complaint)
        return Again(line._replace(repairs=line.repairs + 1, body=body), verdict.usage)
    return _outcome(line, reply, Verdict(complaint.kind, complaint.text, verdict.usage), rules, now_ms)


def _outcome(line: BatchLine, reply: Reply, verdict: Verdict, rules: Rules, now_ms: int) -> Outcome:
    shown = reply if verdict.kind is None else kept(reply)
    assert isinstance(shown, Reply)
    message = verdict.message or None
    return _made(line, verdict.kind, message, reply.status, shown.body, verdict.usage, now_ms, rules.asked_of(line))


def _made(
    line: BatchLine,
    kind: str | None,
    message: str | None,
    status: int | None,
    body: bytes | None,
    usage: Usage,
    now_ms: int,
    asked: Asked,
) -> Outcome:
    row, model, sample, endpoint = asked
    return Outcome(
        row,
        model,
        sample,
        line.key,
        line.custom_id,
        kind,
        message,
        status,
        line.attempts,
        None,
        now_ms,
        body,
        usage,
        line.throttled,
        endpoint + BY_BATCH,
    )
