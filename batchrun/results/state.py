"""How a run stands, seen from outside: from its checkpoint, and from what it said last."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.prompts.count import output_rows
from batchrun.records import Figures, RowCount, summed
from batchrun.results.run_directory import CHECKPOINT, RESULTS, stored_job
from batchrun.results.summary import Summary, read_summary, summarize
from batchrun.results.writer import read_scores
from batchrun.storage.processes import is_alive


def standing(directory: Path) -> Summary:
    """Return the counts as the checkpoint has them now, and the state as the run itself said last.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        job, totals, failures = stored_job(checkpoint), checkpoint.totals(), checkpoint.failures()
        simulated, unrecorded = checkpoint.fact(facts.SIMULATED) is True, checkpoint.fact(facts.UNRECORDED) or 0
    said = _said(directory)
    state, message, pid = said["state"], said["message"], said["pid"]
    summary = summarize(
        job,
        totals,
        directory,
        state=state,
        exit_code=said.get("exit_code"),
        message=message,
        duration_s=said.get("duration_s"),
        pid=pid,
        simulated=simulated,
        unrecorded=unrecorded,
        failures=failures,
        scores=read_scores(directory / RESULTS),
    )
    return replace(summary, newly_settled=said.get("newly_settled"))


def is_running(directory: Path) -> bool:
    """Return whether a run is going on in a directory, as far as it said and its process is alive."""
    return bool(_said(directory)["state"] == "running")


def figures_of(directory: Path) -> Figures:
    """Return the figures of a run, cheaply enough to be asked every second.

    What waits and why nothing is sent is known to its own process alone.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    with Checkpoint(directory) as checkpoint:
        sums, limit, in_flight = summed(checkpoint.totals().values()), checkpoint.limit(), checkpoint.in_flight()
        rows, is_exact = checkpoint.fact(facts.TOTAL), checkpoint.fact(facts.IS_TOTAL_EXACT) is True
    return Figures(
        done=sums.requests,
        total=None if rows is None else output_rows(RowCount(rows, is_exact), per_row=1, settled=sums.requests),
        failed=sums.failed,
        throttled=sums.throttled,
        tokens=sums.total_tokens,
        in_flight=in_flight,
        limit=limit,
        waiting=0,
        pause=None,
    )


def _said(directory: Path) -> dict[str, Any]:
    """Return what a run said last, put right where its process has died since."""
    said: dict[str, Any] = {"state": "stopped", "message": "", "pid": None, **read_summary(directory)}
    if said["state"] == "running" and (said["pid"] is None or not is_alive(said["pid"])):
        said |= {
            "state": "stopped",
            "message": "the process has died; run the same command again to go on",
            "pid": None,
        }
    return said


def is_fresh(directory: Path) -> bool:
    """Return whether the results are younger than the checkpoint and its log."""
    results = directory / RESULTS
    sources = [directory / CHECKPOINT, directory / f"{CHECKPOINT}-wal"]
    changed = [path.stat().st_mtime_ns for path in sources if path.exists() and path.stat().st_size]
    return results.exists() and results.stat().st_mtime_ns >= max(changed, default=0)
