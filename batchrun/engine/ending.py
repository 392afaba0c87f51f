"""How an execution ended: its state, and what ended it in one word. Pure."""

from dataclasses import replace

from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.records import Stop
from batchrun.report.texts import counted


def ended_as(stop: Stop | None) -> str:
    """Return the state of a run whose sending has ended."""
    if stop is None:
        return "completed"
    return "interrupted" if stop.kind == "interrupted" else "stopped"


def ended_by(stop: Stop | None) -> str:
    """Return what ended an execution, as `ExecutionTimes.ended_by` has it."""
    if stop is None:
        return "done"
    if stop.kind == "interrupted":
        return stop.signal or stop.kind
    if stop.kind in ("cost_cap", "token_cap", "deadline", "cancelled", "cluster_lost"):
        return stop.kind
    if stop.kind == "failure":
        return "directory" if stop.exit_code == 3 else "error"
    if stop.kind == UNHEARD:
        return "unheard"
    if stop.exit_code == 4:
        return "refused"
    return "quota" if stop.kind == "quota_exhausted" else "outage"


def with_drained(stop: Stop | None, drained: tuple[int, int] | None) -> Stop | None:
    """Return why a run stopped; if it was interrupted, with what became of the requests that were in flight.

    Args:
        stop: the reason.
        drained: how many were in flight then, and how many of these got no answer; None where batches were sent.
    """
    if stop is None or stop.kind != "interrupted" or drained is None:
        return stop
    in_flight, unanswered = drained
    kept = "the answers in flight were kept" if in_flight else "nothing was in flight"
    if unanswered:
        kept = f"{unanswered:,} of {counted(in_flight, 'request')} in flight got no answer"
    reason, *cure = stop.message.split("; ", 1)
    return replace(stop, message="; ".join([f"{reason}: {kept}", *cure]))
