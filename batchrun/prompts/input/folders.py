"""A folder as input: run directories in it are not read, and messages name the files that are."""

import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from batchrun.storage.runs import RUN_FILE, such_as_run

RESULTS_FILE = "results.parquet"
SUMMARY_FILE = "run.json"
"""What a run directory has once the run has ended: its rows, and its state."""

FIRST = "first"
"""Name of a run that is the input, in templates, and the beginning of the names of its columns."""

_MOST_SHOWN = 5


def is_run_directory(folder: Path) -> bool:
    """Return whether a folder holds a run: its files hold answers, and `batchrun run .` must not read its own."""
    return (folder / RUN_FILE).exists()


def folder_notices(paths: Iterable[str], files: Sequence[str]) -> list[str]:
    """Return one message for each path that is a folder, but not a run: the files that were found in it.

    Args:
        paths: of the input, as they were given.
        files: paths of all files that were found.
    """
    return [_notice(Path(path), files) for path in paths if Path(path).is_dir() and not is_run_directory(Path(path))]


def _notice(folder: Path, files: Sequence[str]) -> str:
    names = [str(Path(file).relative_to(folder)) for file in files if Path(file).is_relative_to(folder)]
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    found = "1 file is" if len(names) == 1 else f"{len(names):,} files are"
    job = job_hint(folder)
    return f"{folder}: {found} read: {', '.join(names[:_MOST_SHOWN])}{more}{job}"


def run_hint(folder: Path) -> str:
    """Return the end of a message: how the answers of a run in a folder are used; empty if there is none."""
    run = such_as_run(folder)
    return f"; to use the answers of a run in it, name that run{run}" if run else ""


def job_hint(folder: Path) -> str:
    """Return the end of a message: the command that runs a job file of a folder; empty if there is none."""
    jobs = islice(sorted(path for path in folder.glob("*.toml") if _is_job(path)), 1)
    return "".join(f"; to run the job file in it: batchrun run {shlex.quote(str(path))}" for path in jobs)


def _is_job(path: Path) -> bool:
    try:
        return "[input]" in path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
