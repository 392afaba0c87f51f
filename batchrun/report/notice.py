"""The texts of messages about a run."""

from typing import NamedTuple

from batchrun.report.texts import counted, duration_text
from batchrun.results.summary import Summary


class Notice(NamedTuple):
    """A message to people who are not at the terminal."""

    title: str
    body: str
    is_good: bool = False
    """Whether all rows are completed."""


def ended_notice(name: str, summary: Summary, place: str) -> Notice:
    """Return the message about a run that has ended.

    Args:
        name: of the job.
        summary: of the run.
        place: where its directory is, with the machine.
    """
    lines = [f"{summary.completed:,} of {counted(_rows(summary), 'row')} completed, {summary.failed:,} failed"]
    lines.append("cost: none, the simulator made the answers up" if summary.simulated else f"cost: {summary.cost_text}")
    lines += [summary.message] if summary.message else []
    lines.append(f"results: {place}")
    return Notice(f"batchrun: {name} {summary.state}", "\n".join(lines), summary.exit_code == 0)


def failed_notice(name: str, problem: str, place: str) -> Notice:
    """Return the message about a run that could not start or continue, and why."""
    return Notice(f"batchrun: {name} failed", f"{problem}\nrun directory: {place}")


def paused_notice(name: str, pause: str, paused_s: float, place: str) -> Notice:
    """Return the message about a run that has been paused for long, and why."""
    waits = f"paused for {duration_text(paused_s)}: {pause}\nThe run waits and resumes by itself."
    return Notice(f"batchrun: {name} is paused", f"{waits}\nrun directory: {place}")


def _rows(summary: Summary) -> int:
    """Return how many rows the run has, as far as it is known."""
    return max(summary.rows, summary.total_rows or 0)
