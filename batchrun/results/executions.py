"""The executions and pauses of a run as run.json has them, and as a text. Times are in UTC."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from batchrun.checkpoint.history import CLOSED, ExecutionTimes, PauseTimes
from batchrun.job.catalogue import known_text
from batchrun.records import Parts, summed
from batchrun.results.prices import PriceOf
from batchrun.results.usage import cost_of, least_cost_of, usage_rows

_ENDED_BY = {
    "": "running",
    "SIGINT": "Ctrl-C",
    "SIGHUP": "SIGHUP (the terminal was closed)",
    "killed": "killed",
    "restarted": "the machine was restarted",
    "died": "killed, or the machine was restarted",
    "cost_cap": "the cost cap",
    "token_cap": "the token cap",
    "deadline": "the deadline",
    "cancelled": "its batches were cancelled",
    "refused": "refused by the endpoint",
    "unheard": "the endpoint never answered",
    "quota": "out of credits",
    "outage": "an outage longer than the patience",
    "cluster_lost": "the Ray cluster is lost",
    "directory": "the run directory could not be written",
    "error": "an error",
}
"""What ended an execution → the same for people, where it differs."""

_SUMS = ("completed", "failed", "attempts", "prompt_tokens", "completion_tokens")


def ended_text(ended_by: str) -> str:
    """Return for people what ended an execution, such as `Ctrl-C`, `SIGTERM`, `the deadline`.

    Args:
        ended_by: as in `ExecutionTimes`, or the name of a signal.
    """
    return _ENDED_BY.get(ended_by, ended_by)


def execution_entries(executions: Iterable[ExecutionTimes], now_ms: int, prices: PriceOf) -> list[dict[str, Any]]:
    """Return executions as entries of run.json, as `Summary.executions` describes them.

    Args:
        executions: oldest first.
        now_ms: Unix time until which a running one has run.
        prices: of each model at each endpoint; all executions are priced alike.
    """
    return [_execution(each, now_ms, prices) for each in executions]


def _execution(execution: ExecutionTimes, now_ms: int, prices: PriceOf) -> dict[str, Any]:
    return {
        "started_at": utc_text(execution.started_at_ms),
        "ended_at": utc_text(execution.ended_at_ms),
        "until": utc_text(execution.until_ms(now_ms)),
        "state": execution.state,
        "ended_by": execution.ended_by,
        "message": execution.message,
        "running_s": execution.running_ms(now_ms) / 1000,
        "paused_s": execution.paused_ms(now_ms) / 1000,
        **_settled(execution.settled, prices),
        "pauses": pause_entries(execution.pauses),
        "endpoint_pauses": pause_entries(execution.endpoint_pauses),
    }


def _settled(settled: Parts | None, prices: PriceOf) -> dict[str, Any]:
    """Return what an execution has settled and what this has cost; nulls where it was not recorded."""
    if settled is None:
        return dict.fromkeys(("rows", *_SUMS, "cost_usd", "least_cost_usd"))
    sums = summed(settled.values())
    named = {source: each for source, each in settled.items() if source.model}
    counts = {name: getattr(sums.usage if name.endswith("_tokens") else sums, name) for name in _SUMS}
    costs = usage_rows(named, prices)
    return {"rows": sums.requests, **counts, "cost_usd": cost_of(costs), "least_cost_usd": least_cost_of(costs)}


def pause_entries(pauses: Iterable[PauseTimes]) -> list[dict[str, Any]]:
    """Return pauses as entries of run.json."""
    return [
        {
            **({"endpoint": pause.endpoint} if pause.endpoint else {}),
            "model": pause.model,
            "kind": pause.kind,
            "message": pause.message,
            "started_at": utc_text(pause.started_at_ms),
            "ended_at": utc_text(pause.ended_at_ms),
        }
        for pause in pauses
    ]


def utc_text(at_ms: int | None) -> str | None:
    """Return a Unix time as run.json has it; None for None."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def pause_reason(pauses: Sequence[Mapping[str, Any]], *, is_of_several: bool = False) -> str:
    """Return why models are paused: kind and message of the first failure, and which models if there are several.

    Args:
        pauses: at least one, as in an entry of run.json.
        is_of_several: whether the run has other models too.
    """
    first = min(pauses, key=lambda pause: pause["started_at"])
    models = dict.fromkeys(pause["model"] for pause in pauses)
    whose = f"{', '.join(models)}: " if is_of_several or len(pauses) > 1 else ""
    kind = "" if first["kind"] == CLOSED else f"{first['kind']}: "
    return f"{whose}{kind}{first['message']}".rstrip(": ")


def pause_word(pause: Mapping[str, Any]) -> str:
    """Return what a pause is: `paused`, or of one endpoint of several `NAME away` or `NAME closed`."""
    if "endpoint" not in pause:
        return "paused"
    return f"{pause['endpoint']} {'closed' if pause['kind'] == CLOSED else 'away'}"


def spent_by(execution: Mapping[str, Any]) -> str | None:
    """Return for people what an execution has cost; None where no price is known, or nothing was answered."""
    least_usd: float | None = execution["least_cost_usd"]
    is_answered = execution["attempts"] and (execution["rows"] or least_usd)
    return known_text(execution["cost_usd"], least_usd) if is_answered else None


def pause_text(
    pauses: Sequence[Mapping[str, Any]], next_probe_at: str | None = None, *, is_of_several: bool = False
) -> str | None:
    """Return since when and why models are paused, and when they are asked next, in local time; None without a pause.

    Args:
        pauses: those of an entry of run.json that have not ended.
        next_probe_at: as in run.json.
        is_of_several: whether the run has other models too.
    """
    if not pauses:
        return None
    since = local_time(min(pause["started_at"] for pause in pauses)).strftime("%Y-%m-%d %H:%M")
    probe = "" if next_probe_at is None else f"; next probe at {local_time(next_probe_at):%H:%M:%S}"
    return f"since {since}, {pause_reason(pauses, is_of_several=is_of_several)}{probe}"


def local_time(text: str) -> datetime:
    """Return a time of run.json in this machine's time zone."""
    return datetime.fromisoformat(text).astimezone()
