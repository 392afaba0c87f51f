"""Writes the results of a run, unless they are there already as they would be written."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.checkpoint.file import is_older
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.reader import Checkpoint, Failures
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import RunDirectoryError
from batchrun.records import AnswerSource, ModelTotals
from batchrun.results.export import Exported, export
from batchrun.results.run_directory import RESULTS, USAGE
from batchrun.results.stamp import MadeOf, made_of, stamp, stamped
from batchrun.results.view import View


def refresh(directory: Path, scorer: NamedFunction | None = None) -> Exported:
    """Return what `export` returns; write results.parquet and usage.parquet only when something has changed.

    Args:
        directory: of the run; the caller has its lock.
        scorer: scores the rows instead of the job's scorer: then they are always written, since it may be another now.

    Raises:
        RunDirectoryError: there is no checkpoint, it cannot be read, or a file cannot be written.
    """
    if scorer is not None:
        return export(directory, View(scorer=scorer))
    now, found = _made_of(directory)
    if found is not None:
        return _exported(directory, found)
    exported = export(directory)
    _stamp(directory, now, exported)
    return exported


def rebuild(directory: Path, view: View) -> Exported:
    """Return what `export` returns, and always write; the next `refresh` need not, unless something changes.

    That holds where no other process has the run directory at the end, and the checkpoint has this version.

    Args:
        directory: of the run; the caller does not have its lock.
        view: as for `export`.

    Raises:
        JobError: the view does not fit this run.
        RunDirectoryError: there is no checkpoint, it cannot be read, or a file cannot be written.
    """
    if view != View():
        return export(directory, view)
    now, _ = _made_of(directory)
    exported = export(directory)
    with suppress(RunDirectoryError), DirectoryLock(directory):
        if not is_older(directory / FILE_NAME):
            _stamp(directory, now, exported)
    return exported


def _made_of(directory: Path) -> tuple[MadeOf | None, dict[str, Any] | None]:
    """Return what results would be made of now, and what was found if they are already."""
    with Checkpoint(directory) as checkpoint:
        now = made_of(directory, checkpoint)
        return now, stamped(directory, checkpoint, now)


def _stamp(directory: Path, now: MadeOf | None, exported: Exported) -> None:
    if now is not None and not exported.lacks_input:
        with suppress(RunDirectoryError):  # as on a full disk: then the next run writes them again
            stamp(directory, now, _found(exported))


def _found(exported: Exported) -> dict[str, Any]:
    """Return what an export found, as JSON can hold it."""
    parts = [[[*source], [*totals[:-1], sorted(totals.stated_as_0)]] for source, totals in exported.parts.items()]
    return {
        "notices": exported.notices,
        "parts": parts,
        "failures": [[*each] for each in exported.failures],
        "scores": exported.scores,
        "answers": exported.answers,
        "problem": exported.problem,
        "agreement": exported.agreement,
    }


def _exported(directory: Path, found: Mapping[str, Any]) -> Exported:
    parts = {AnswerSource(*source): _totals(sums) for source, sums in found["parts"]}
    failures = [Failures(*each) for each in found["failures"]]
    paths = [directory / name for name in (RESULTS, USAGE)]
    return Exported(paths, **{**found, "parts": parts, "failures": failures})


def _totals(values: Sequence[Any]) -> ModelTotals:
    return ModelTotals._make([*values[:-1], frozenset(values[-1])])
