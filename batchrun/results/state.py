"""The state of a run, seen from another process: read from its checkpoint and its run.json."""

from dataclasses import replace
from pathlib import Path

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.prompts.count import output_rows
from batchrun.records import Figures, RowCount, summed
from batchrun.results.run_directory import CHECKPOINT, RESULTS, stored_job
from batchrun.results.summary import Findings, Status, Summary, Unrecorded, read_summary, summarize
from batchrun.results.used import used_in
from batchrun.results.writer import read_answers, read_scores
from batchrun.storage.processes import is_alive


def summary_of(directory: Path) -> Summary:
    """Return the counts that the checkpoint has now, and the status that the last execution wrote to run.json.

    Raises:
        RunDirectoryError: there is no checkpoint, or it cannot be read.
    """
    status = _status(directory)
    with Checkpoint(directory) as checkpoint:
        job, totals, failures = stored_job(checkpoint), checkpoint.totals(), checkpoint.failures()
        set_aside = used_in(checkpoint, job, totals).set_aside
        simulated, unrecorded = checkpoint.fact(facts.SIMULATED) is True, checkpoint.fact(facts.UNRECORDED) or 0
        if status.state != "running":  # the next execution adds them to the fact
            unrecorded += checkpoint.in_flight()
    return summarize(
        job,
        directory,
        status,
        totals,
        findings=Findings(failures, read_scores(directory / RESULTS), read_answers(directory / RESULTS)),
        simulated=simulated,
        unrecorded=Unrecorded(unrecorded, set_aside),
    )


def is_running(directory: Path) -> bool:
    """Return whether a living process works on the run."""
    return _status(directory).state == "running"


def figures_of(directory: Path) -> Figures:
    """Return the figures of a run, cheaply enough to be called every second.

    `waiting` and `pause` are missing: only the process of the run knows them.

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


def _status(directory: Path) -> Status:
    """Return the status from run.json, corrected if its process has died since."""
    stored = read_summary(directory)
    status = Status(
        state=stored.get("state", "stopped"),
        exit_code=stored.get("exit_code"),
        message=stored.get("message", ""),
        duration_s=stored.get("duration_s"),
        pid=stored.get("pid"),
        newly_settled=stored.get("newly_settled"),
    )
    if status.state != "running" or (status.pid is not None and is_alive(status.pid)):
        return status
    return replace(
        status, state="stopped", message="the process has died; run the same command again to resume", pid=None
    )


def is_fresh(directory: Path) -> bool:
    """Return whether results.parquet is newer than the checkpoint and its log."""
    results = directory / RESULTS
    sources = [directory / CHECKPOINT, directory / f"{CHECKPOINT}-wal"]
    changed = [path.stat().st_mtime_ns for path in sources if path.exists() and path.stat().st_size]
    return results.exists() and results.stat().st_mtime_ns >= max(changed, default=0)
