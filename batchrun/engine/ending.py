"""How an execution ended: its state, and what ended it in one word. Pure."""

from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.records import Stop


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
    if stop.kind in ("cost_cap", "token_cap", "deadline"):
        return stop.kind
    if stop.kind == "failure":
        return "directory" if stop.exit_code == 3 else "error"
    if stop.kind == UNHEARD:
        return "unheard"
    if stop.exit_code == 4:
        return "refused"
    return "quota" if stop.kind == "quota_exhausted" else "outage"
