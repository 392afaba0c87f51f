"""Finds the run of a job file where the first releases kept it, so that its answers are not bought again."""

import os
import shlex
from pathlib import Path
from typing import Any

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import JobError, RunDirectoryError
from batchrun.job.sections import Job
from batchrun.records import summed
from batchrun.report.texts import counted
from batchrun.results.run_directory import CHECKPOINT


def refuse_moved(job: Job) -> None:
    """Refuse to start a job again whose run is elsewhere.

    The run directory of a job file was relative to the current directory, and is relative to the file now.

    Raises:
        JobError: the run directory holds no run, and the earlier one holds answers of this job.
    """
    here = job.run_directory
    if job.earlier_directory is None or (here / CHECKPOINT).exists():
        return
    ours, there = map(Path, job.earlier_directory)
    if ours != here:  # a caller has set another one
        return
    if not (there / CHECKPOINT).exists() or not (rows := _rows_of(job, there)):
        return
    move = f"mkdir -p {_quoted(here.parent)} && mv {_quoted(there)} {_quoted(here)}"
    raise JobError(
        f"{there}: holds an earlier run of this job with {counted(rows, 'row')}, but the run directory of a job file is"
        f" now relative to the file: {here}. Move the run there: {move}, or use it where it is: -o {_quoted(there)}, or"
        f" start a new run: -o {_quoted(here)}"
    )


def _rows_of(job: Job, there: Path) -> int:
    """Return how many settled rows a directory has, if they are of a job of this name with a file of its input."""
    try:
        with Checkpoint(there) as checkpoint:
            stored, folder = checkpoint.fact(facts.JOB), checkpoint.fact(facts.FOLDER)
            rows = summed(checkpoint.totals().values()).requests
    except RunDirectoryError:
        return 0
    is_this = stored is not None and stored.get("name") == job.name
    return rows if is_this and _inputs(stored, folder) & {_absolute(path, None) for path in job.input.path} else 0


def _inputs(stored: dict[str, Any] | None, folder: str | None) -> set[str]:
    return {_absolute(path, folder) for path in (stored or {}).get("input", {}).get("path", ())}


def _absolute(path: str, folder: str | None) -> str:
    return path if "://" in path else os.path.realpath(Path(folder or "", path))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
