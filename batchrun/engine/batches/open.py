"""Refuses to leave batches alone that are under way: their rows would be bought twice."""

from collections.abc import Iterable
from pathlib import Path

from batchrun.checkpoint.batch_tables import CREATED, CREATING, BatchRow
from batchrun.errors import JobError
from batchrun.job.endpoint import BATCH
from batchrun.job.sections import Job
from batchrun.report.texts import counted


def refuse_to_leave(rows: Iterable[BatchRow], job: Job, *, was_simulated: bool | None, simulated: bool) -> None:
    """Refuse to send rows in another way, or elsewhere, while a batch has them.

    Args:
        rows: the batches of the run.
        job: to run.
        was_simulated: whether the simulator has these batches; None where that was not recorded.
        simulated: whether it answers now.

    Raises:
        JobError: there are such batches.
    """
    text = under_way(rows)
    if not text:
        return
    if job.endpoint.via != BATCH:
        cure = "add --via batch to collect what they answer, or --via batch --cancel to end them first"
        raise JobError(f"{job.run_directory}: {text}; {cure}")
    if was_simulated is not None and was_simulated != simulated:
        kind = "the simulator" if was_simulated else "the provider, not at the simulator"
        raise JobError(f"{job.run_directory}: {text}, at {kind}; use another -o DIR")


def refuse_to_start_over(rows: Iterable[BatchRow], directory: Path) -> None:
    """Refuse to start a run over while its batches are under way: nobody would collect them.

    Raises:
        JobError: there are such batches.
    """
    if text := under_way(rows):
        raise JobError(f"{directory}: {text}; add --cancel instead of --restart to end them first")


def under_way(rows: Iterable[BatchRow]) -> str:
    """Return what is under way at the provider; empty where nothing is."""
    left = [row for row in rows if row.step in (CREATING, CREATED)]
    if not left:
        return ""
    are = "is" if len(left) == 1 else "are"
    requests = counted(sum(row.requests for row in left), "request")
    return f"{counted(len(left), 'batch', 'batches')} with {requests} {are} under way at the provider"
