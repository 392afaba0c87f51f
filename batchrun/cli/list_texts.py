"""A table of runs, newest first, with a total."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from batchrun.errors import BatchrunError, NotBegunError
from batchrun.job.catalogue import known_text
from batchrun.records import RowCount
from batchrun.report.texts import counted, rows_text
from batchrun.results.executions import local_time, utc_text
from batchrun.results.run_directory import CHECKPOINT
from batchrun.results.state import summary_of
from batchrun.results.summary import Summary

_HEAD = ("started", "state", "rows", "failed", "USD", "run")
_STATES = {"completed": "done"}
_NOT_BEGUN = "not begun"
_RIGHT = frozenset({"rows", "failed", "USD"})
_GAP = "  "


class Listed(NamedTuple):
    """One run in the list."""

    directory: Path
    summary: Summary | None
    """None for a run that cannot be read."""
    problem: str
    """Why it cannot be read."""
    started_at: str
    """When its first execution started, in UTC; without one, when its checkpoint was written."""
    is_begun: bool = True
    """Whether it has ever sent anything; False of a run that died before that."""

    @property
    def cost_usd(self) -> float | None:
        """What was paid for it; None when this is not known."""
        if self.summary is None:
            return None if self.is_begun else 0.0
        return 0.0 if self.summary.simulated else self.summary.cost_usd

    @property
    def least_usd(self) -> float | None:
        """What was paid for it at least; None when nothing is known."""
        return self.summary.least_cost_usd if self.cost_usd is None and self.summary is not None else self.cost_usd


def listed(directory: Path) -> Listed:
    """Read what the list has about a run; cheap, however many rows it has."""
    written_at = utc_text(int(1000 * (directory / CHECKPOINT).stat().st_mtime)) or ""
    try:
        summary = summary_of(directory, is_brief=True)
    except NotBegunError as problem:
        return Listed(directory, None, str(problem), written_at, is_begun=False)
    except BatchrunError as problem:
        return Listed(directory, None, str(problem), written_at)
    executions = summary.executions
    return Listed(directory, summary, "", executions[0]["started_at"] if executions else written_at)


def list_lines(runs: Sequence[Listed]) -> list[str]:
    """Return a line for each run, in the given order, and the total."""
    rows = [_HEAD, *(_cells(each) for each in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [*(_line(row, widths) for row in rows), _total(runs)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, _HEAD, widths, strict=True)
    return _GAP.join(_placed(cell, name, width) for cell, name, width in cells).rstrip()


def _placed(cell: str, name: str, width: int) -> str:
    return cell.rjust(width) if name in _RIGHT else cell.ljust(width)


def _cells(run: Listed) -> tuple[str, ...]:
    started = f"{local_time(run.started_at):%Y-%m-%d %H:%M}"
    summary = run.summary
    if not run.is_begun:
        return started, _NOT_BEGUN, "", "", "", str(run.directory)
    if summary is None:
        return started, "unreadable", "", "", "", f"{run.directory}: {run.problem.removeprefix(f'{run.directory}: ')}"
    total = summary.total_rows
    of = "" if total is None or total == summary.rows else f"/{rows_text(RowCount(total, summary.total_is_exact))}"
    cost = known_text(run.cost_usd, run.least_usd)
    cost = "?" if cost is None else "simulated" if summary.simulated else cost.removesuffix(" USD")
    state = _STATES.get(summary.state, summary.state)
    state = "paused" if summary.pause else "stopping" if summary.stopping else state
    return started, state, f"{summary.rows:,}{of}", f"{summary.failed:,}", cost, str(run.directory)


def _total(runs: Sequence[Listed]) -> str:
    known = [each.summary for each in runs if each.summary is not None]
    rows, failed = sum(each.rows for each in known), sum(each.failed for each in known)
    unknown = sum(each.cost_usd is None for each in runs)
    least_usd = sum(each.least_usd or 0.0 for each in runs)
    cost = known_text(None if unknown else least_usd, least_usd) or "cost not known"
    if unknown and least_usd:
        cost += f" (not known, or not all of it: {counted(unknown, 'run')})"
    return f"{counted(len(runs), 'run')}, {counted(rows, 'row')}, {failed:,} failed, {cost}"
