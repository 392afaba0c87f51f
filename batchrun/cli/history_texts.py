"""The executions of a run and their pauses, as lines for people. Times are local."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchrun.report.texts import counted, duration_text
from batchrun.results.executions import ended_text, local_time, pause_reason, pause_word, spent_by
from batchrun.results.summary import Summary

_MOST = 20
"""Executions that are shown; run.json has all of them."""

_MOST_PAUSES = 10
"""Pauses of an execution that are shown."""

_REASON_CHARS = 200
"""Longest reason that is shown in full."""

_NAMED = frozenset({"refused", "quota", "outage"})
"""Endings whose message is the endpoint's."""

_INDENT = " " * 10


def history_lines(summary: Summary) -> list[str]:
    """Return a line for each execution of a run, and one for each of its pauses."""
    shown = summary.executions[-_MOST:]
    earlier = len(summary.executions) - len(shown)
    note = [f"{_INDENT}{counted(earlier, 'earlier execution')}: see {summary.directory}/run.json"] if earlier else []
    lines = [line for each in shown for line in _execution_lines(each, summary)]
    return note + [f"{'' if number else 'history':<10}{line}" for number, line in enumerate(lines)]


def _execution_lines(execution: Mapping[str, Any], summary: Summary) -> list[str]:
    started = local_time(execution["started_at"])
    running = duration_text(execution["running_s"])
    if execution["state"] == "running":
        head = f"{_full(started)}, running for {running}"
    else:
        head = f"{_full(started)} to {_later(local_time(execution['until']), started)} ({running})"
    settled = "" if execution["rows"] is None else f": {_settled(execution, is_simulated=summary.simulated)}"
    how = "" if execution["state"] == "running" else f"; {_ending(execution)}"
    pauses = sorted([*execution["pauses"], *execution["endpoint_pauses"]], key=lambda each: each["started_at"])
    more = max(0, len(pauses) - _MOST_PAUSES)
    lines = [f"{head}{settled}{how}"]
    lines += [f"  {counted(more, 'earlier pause')}"] if more else []
    is_of_several = summary.has_several_models
    return lines + [f"  {_pause_text(pause, execution, is_of_several=is_of_several)}" for pause in pauses[more:]]


def _settled(execution: Mapping[str, Any], *, is_simulated: bool) -> str:
    parts = [counted(execution["rows"], "row")]
    if execution["failed"]:
        parts.append(f"{execution['failed']:,} failed")
    if (cost := spent_by(execution)) is not None and not is_simulated:
        parts.append(cost)
    return ", ".join(parts)


def _ending(execution: Mapping[str, Any]) -> str:
    """Return what ended an execution, in the words of its message where there is one; without the cure."""
    if execution["ended_by"] == "done":
        return "done"
    if execution["state"] == "died":
        return ended_text(execution["ended_by"])
    several = execution["message"].split("; and ")  # one of each endpoint or model that is closed
    reason = _cut("; and ".join(each.split("; ")[0] for each in several))
    if execution["ended_by"] in _NAMED:
        return ": ".join(filter(None, [ended_text(execution["ended_by"]), reason]))
    return reason or ended_text(execution["ended_by"])


def _pause_text(pause: Mapping[str, Any], execution: Mapping[str, Any], *, is_of_several: bool) -> str:
    started = local_time(pause["started_at"])
    reason = _cut(pause_reason([pause], is_of_several=is_of_several))
    what = pause_word(pause)
    if pause["ended_at"] is None and execution["state"] == "running":
        return f"{what} since {_full(started)}: {reason}"
    until = local_time(pause["ended_at"] or execution["until"])
    lasted = duration_text(max(0.0, (until - started).total_seconds()))
    return f"{what} {_full(started)} to {_later(until, started)} ({lasted}): {reason}"


def _full(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _later(moment: datetime, before: datetime) -> str:
    """Return a time, with its date only if that is another one."""
    return f"{moment:%H:%M:%S}" if moment.date() == before.date() else _full(moment)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _REASON_CHARS else f"{line[: _REASON_CHARS - 1]}…"
