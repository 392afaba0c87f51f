"""The executions and pauses of a run as run.json has them, and as a text. Times are in UTC."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from batchrun.checkpoint.history import ExecutionTimes, PauseTimes


def execution_entries(executions: Iterable[ExecutionTimes], now_ms: int) -> list[dict[str, Any]]:
    """Return executions as entries of run.json; a running one has run until now."""
    return [_execution(each, now_ms) for each in executions]


def _execution(execution: ExecutionTimes, now_ms: int) -> dict[str, Any]:
    return {
        "started_at": _utc(execution.started_at_ms),
        "ended_at": _utc(execution.ended_at_ms),
        "state": execution.state,
        "message": execution.message,
        "running_s": execution.running_ms(now_ms) / 1000,
        "pauses": pause_entries(execution.pauses),
    }


def pause_entries(pauses: Iterable[PauseTimes]) -> list[dict[str, Any]]:
    """Return pauses as entries of run.json."""
    return [
        {
            "model": pause.model,
            "kind": pause.kind,
            "message": pause.message,
            "started_at": _utc(pause.started_at_ms),
            "ended_at": _utc(pause.ended_at_ms),
        }
        for pause in pauses
    ]


def _utc(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def pause_text(pauses: Sequence[Mapping[str, Any]]) -> str | None:
    """Return since when and why models are paused; None without a pause.

    Args:
        pauses: entries of `executions` that have not ended.
    """
    if not pauses:
        return None
    first = min(pauses, key=lambda pause: pause["started_at"])
    since = datetime.fromisoformat(first["started_at"]).astimezone().strftime("%Y-%m-%d %H:%M")
    whose = f"{', '.join(dict.fromkeys(pause['model'] for pause in pauses))}: " if len(pauses) > 1 else ""
    return f"{whose}since {since}, {first['kind']}: {first['message']}".rstrip(": ")
