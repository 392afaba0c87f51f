"""A run directory: the names of its files, its job, and its input."""

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from batchrun import __version__
from batchrun.checkpoint import facts, in_flight, tables
from batchrun.checkpoint.file import damaged, newer
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, NotBegunError, RunDirectoryError
from batchrun.job.sections import Job
from batchrun.job.serialization import UnknownSettingError, job_from_dict
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.endings import parted_sheet
from batchrun.prompts.input.files import InputFile, find_files
from batchrun.prompts.input.frame import is_frame
from batchrun.prompts.input.parts import Numbers
from batchrun.prompts.sample import within
from batchrun.prompts.selection import choice_of
from batchrun.prompts.source import Source
from batchrun.results.identity import may_be_other_input
from batchrun.storage.runs import SUMMARY_FILE
from batchrun.storage.urls import is_remote

RESULTS = "results.parquet"
USAGE = "usage.parquet"
SUMMARY = SUMMARY_FILE
REPORT = "report.html"
CARD = "README.md"
SPOOL = "input.jsonl"
"""The rows from standard input, which cannot be read twice."""

CHECKPOINT = tables.FILE_NAME
IN_FLIGHT = in_flight.FILE_NAME

_LOOK_ROWS = 8192
"""Rows of a JSON file that the types of its columns are taken from at first; all rows are read only if necessary."""


def stored_job(checkpoint: Checkpoint) -> Job:
    """Return the job of a checkpoint.

    Raises:
        NotBegunError: the checkpoint does not have it yet.
        RunDirectoryError: it was lost, or cannot be read.
    """
    if is_jobless(checkpoint):
        raise RunDirectoryError(
            f"{checkpoint.path}: was salvaged, and its job was lost; run the job again to resume from here"
        )
    job = checkpoint.fact(facts.JOB)
    if job is None:
        raise NotBegunError(
            f"{checkpoint.path}: holds no job yet: its run has just begun, or died before it "
            "sent anything; look again in a moment, or run the job"
        )
    try:
        return job_from_dict(job)
    except UnknownSettingError as problem:
        version = checkpoint.fact(facts.VERSION) or "of an unknown version"
        reason = f"{version}; this one, {__version__}, does not know {problem} in the job"
        raise newer(checkpoint.path, reason) from problem
    except (KeyError, TypeError, AttributeError) as problem:
        raise damaged(checkpoint.path, f"its job cannot be read: {problem!r}") from problem


def is_jobless(checkpoint: Checkpoint) -> bool:
    """Return whether there are answers without their job, as after a salvage."""
    return bool(checkpoint.totals()) and checkpoint.fact(facts.JOB) is None


class StoredInput(NamedTuple):
    """The input of a run, and the parts of it that the results keep."""

    files: list[InputFile]
    keep: tuple[str, ...] | None
    limit: int | None
    numbers: Numbers | None = None
    """Finds the rows that have outcomes, where most rows have none; None for all."""

    def columns(self, *, is_quick: bool) -> InputColumns:
        """Return its columns, typed by the first rows or by all rows.

        Raises:
            InputError: the input has changed.
            LateSchema: later rows do not fit these types.
        """
        look_rows = _LOOK_ROWS if is_quick else None
        return InputColumns(self.files, self.keep, self.limit, look_rows=look_rows, numbers=self.numbers)


def stored_input(job: Job, directory: Path, checkpoint: Checkpoint, *, also: Sequence[str] = ()) -> StoredInput:
    """Return the input of a run.

    Args:
        job: of the run.
        directory: of the run.
        checkpoint: of the run.
        also: columns to read even if the job does not keep them.

    Raises:
        InputError, JobError: it is gone, or has other rows now.
    """
    paths = input_paths(job, directory, checkpoint)
    job = dataclasses.replace(job, input=dataclasses.replace(job.input, path=paths, strict=False))
    files = find_files(paths, job.input.encoding)
    if may_be_other_input(checkpoint, files) and not _still_fits(checkpoint, job):
        raise InputError("the input has changed since the run; run the job again to fit its answers to it")
    keep = job.output.keep
    if keep is not None:
        keep = tuple(dict.fromkeys([*keep, *also]))
    numbers = None if job.input.sample is None else within(checkpoint.settled_rows())
    return StoredInput(files, keep, None if choice_of(job, files) else job.input.limit, numbers)


def input_paths(job: Job, directory: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the paths of a run's input, which are relative to the directory where the run was started."""
    folder = checkpoint.fact(facts.FOLDER)  # None for a run of an older version, and for a directory that was deleted
    return tuple(_input_path(path, directory, folder) for path in job.input.path)


def _input_path(path: str, directory: Path, folder: str | None) -> str:
    if is_frame(path):
        return str(directory / Path(path).name)
    return str(directory / SPOOL) if path == "-" else _found_from(folder, path)


def _found_from(folder: str | None, path: str) -> str:
    """Return a path relative to a folder; unchanged if nothing is there, as after a move."""
    if folder is None or is_remote(path):
        return path
    there = Path(folder, path)
    if there.exists() or Path(parted_sheet(str(there))[0]).exists():
        return str(there)
    pattern = str(Path(glob.escape(folder), path))
    return pattern if glob.glob(pattern, recursive=True) else path  # noqa: PTH207  # Path.glob takes no absolute patterns


def _still_fits(checkpoint: Checkpoint, job: Job) -> bool:
    """Return whether every answer still belongs to its row. Reads the whole input."""
    with Source(job) as source:
        source.open()
        return all(checkpoint.fits(batch) for batch in source.batches())


def input_source(job: Job, directory: Path, checkpoint: Checkpoint) -> Source:
    """Return the input of a run, to be read again as its requests.

    Raises:
        JobError: a template does not compile, or a parameter cannot be sent.
    """
    paths = input_paths(job, directory, checkpoint)
    return Source(dataclasses.replace(job, input=dataclasses.replace(job.input, path=paths, strict=False)))
