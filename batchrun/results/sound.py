"""The results as a file that can be read: results.parquet, or those rows of a damaged run that are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchrun.errors import DamagedError
from batchrun.results.export import export
from batchrun.results.run_directory import RESULTS
from batchrun.results.state import is_fresh


class SoundResults(NamedTuple):
    """A file of results."""

    path: Path
    notices: list[str]
    """Messages about the results, if they had to be written first."""
    are_all: bool = True
    """Whether all settled rows are there; otherwise a notice says which are not."""


@contextmanager
def sound_results(directory: Path) -> Iterator[SoundResults]:
    """Yield the results of a run; write results.parquet if it is missing or older than the checkpoint.

    Where answers are damaged, results.parquet stays as it is, and a file without these is there while it is needed.

    Raises:
        RunDirectoryError: the directory holds no run, it cannot be read, or a file cannot be written.
    """
    results = directory / RESULTS
    if is_fresh(directory):
        yield SoundResults(results, [])
        return
    try:
        written = SoundResults(results, export(directory).notices)
    except DamagedError as problem:
        with _folder(directory, problem) as folder:
            yield SoundResults(folder / RESULTS, export(directory, sound_into=folder).notices, are_all=False)
        return
    yield written


@contextmanager
def _folder(directory: Path, problem: DamagedError) -> Iterator[Path]:
    """Yield a folder in the run directory for a while; where it cannot be made, raise the problem instead."""
    folder = directory / f".sound.{os.getpid()}.tmp"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        raise problem from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
