"""Chosen rows of a run, as the results have them: from results.parquet, or from the checkpoint where that is newer."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from batchrun.checkpoint.contents import changed_text, left_out_text
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.prompts.input.columns import InputColumns
from batchrun.records import ModelTotals, summed
from batchrun.results.columns import LostAnswer
from batchrun.results.run_directory import RESULTS
from batchrun.results.state import is_fresh
from batchrun.results.view import StoredRun, View


class Choice(NamedTuple):
    """Which rows of the results are wanted."""

    row: int | None = None
    """Only this row of the input."""
    is_failed: bool = False
    """Only failed rows."""
    model: str | None = None
    sample: int | None = None
    was_sent: bool = False
    """Only rows that became a request."""

    @property
    def condition(self) -> pc.Expression:
        """The choice as a filter of the results' columns."""
        wanted = {"row": self.row, "model": self.model, "sample": self.sample}
        condition = pc.field("status") == "failed" if self.is_failed else pc.scalar(True)
        for name, value in wanted.items():
            if value is not None:
                condition &= pc.field(name) == value
        if self.was_sent:
            condition &= pc.field("error_kind").is_null() | (pc.field("error_kind") != "bad_row")
        return condition


class ChosenRows(NamedTuple):
    """Rows of the results."""

    table: pa.Table
    total: int | None
    """How many rows of this choice there are in all; None where only reading them would tell."""
    settled: int
    """How many rows are settled at all."""
    models: list[str]
    """The models of the run."""
    notices: list[str]
    """Messages about the results."""


def chosen_rows(directory: Path, choice: Choice, most: int) -> ChosenRows:
    """Return the first rows of a choice, in the order of the results; also while the run runs.

    Args:
        directory: of the run.
        choice: which rows.
        most: how many of them.

    Raises:
        RunDirectoryError: there is no run, or it cannot be read.
    """
    with Checkpoint(directory, skips_damaged=True) as checkpoint:
        totals = {model: sums for model, sums in checkpoint.totals().items() if model or sums.requests}
        total, models = _total(choice, totals), [model for model in totals if model]
        settled = summed(totals.values()).requests
        if is_fresh(directory):
            return ChosenRows(_from_file(directory, choice, most), total, settled, models, [])
        run = StoredRun(directory, checkpoint, View())
        try:
            table = run.with_input(lambda columns: _from_checkpoint(run, columns, choice, most))
        except LostAnswer as lost:
            raise damaged(checkpoint.path, "the answer of a completed row is not an answer") from lost
        return ChosenRows(table, total, settled, models, [*run.notices, *_left_out(checkpoint, choice, table)])


def _left_out(checkpoint: Checkpoint, choice: Choice, table: pa.Table) -> list[str]:
    """Return a message about rows that cannot be shown, as their answers are damaged.

    Raises:
        DamagedError: that is the only row of the choice.
    """
    left_out = [each for each in checkpoint.left_out if choice.row in (None, each >> 24)]
    if choice.row is not None and left_out and not table.num_rows:
        raise damaged(checkpoint.path, changed_text([choice.row]))
    return [left_out_text(left_out, checkpoint.path.parent)] if left_out else []


def _total(choice: Choice, totals: dict[str, ModelTotals]) -> int | None:
    if choice.row is not None or choice.sample is not None:
        return None
    sums = summed(totals.values()) if choice.model is None else totals.get(choice.model, ModelTotals())
    return sums.failed if choice.is_failed else sums.requests


def _from_file(directory: Path, choice: Choice, most: int) -> pa.Table:
    import pyarrow.dataset as ds  # slow to import

    path = directory / RESULTS
    try:
        # One row group at a time: many at once would fill the memory for a few rows.
        return ds.dataset(path, format="parquet").head(
            most, filter=choice.condition, batch_readahead=1, fragment_readahead=1, use_threads=False
        )
    except (OSError, pa.ArrowException) as problem:
        cure = f"write it again: batchrun export {directory}"
        raise RunDirectoryError(f"{path}: cannot be read ({' '.join(str(problem).split())}); {cure}") from problem


def _from_checkpoint(run: StoredRun, columns: InputColumns | None, choice: Choice, most: int) -> pa.Table:
    outcomes = run.checkpoint.columns(row=choice.row, is_failed=choice.is_failed)
    results = run.table(columns, outcomes).results
    return pa.Table.from_batches(_first(results.batches(), choice, most), results.schema)


def _first(batches: Iterator[pa.RecordBatch], choice: Choice, most: int) -> Iterator[pa.RecordBatch]:
    left = most
    for batch in batches:
        chosen = pa.table(batch).filter(choice.condition).slice(0, left)
        yield from chosen.to_batches()
        left -= chosen.num_rows
        if not left:
            return
