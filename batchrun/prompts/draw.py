"""Finds which rows of an input are used before any is sent: draws the sample, and counts where that is quick."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.condition import Condition
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.first_run import completed_rows
from batchrun.prompts.input.parquet_file import stated_rows
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.input.row_count import count_rows
from batchrun.prompts.sample import Draw, Part, within
from batchrun.prompts.selection import SelectedRows, Selection, choice_of
from batchrun.records import Row, RowCount

_MOST_PARTS = 32
_PART_BYTES = 16 << 20
_PART_REQUESTS = 1 << 14
"""An input is read in so many parts that one fits into half a window of `order`, but not in more than 32: each takes a
pass over the input."""


class Chosen(NamedTuple):
    """The rows of an input that are used, as far as that is known before they are read."""

    selection: Selection | None = None
    """None where all rows are used."""
    rows: int | None = None
    """How many; None where only reading them all would tell."""
    notices: tuple[str, ...] = ()


def choose(
    job: Job, files: Sequence[InputFile], condition: Condition | None, check: Callable[[Sequence[Row]], None]
) -> Chosen:
    """Return which rows are used. Reads the whole input once where a sample is drawn.

    Args:
        job: what to run.
        files: of the input.
        condition: of the job.
        check: gets the first rows where a sample is drawn by the condition; raises where a column is missing.

    Raises:
        InputError: a sample cannot be drawn from standard input, or the input cannot be read to its end.
    """
    choice = choice_of(job, files)
    selection = Selection.of_choice(choice, condition)
    if job.input.sample is not None:
        return _sampled(job, files, selection, check)
    if not choice:
        return Chosen(None, _limited(job, stated_rows(files)))
    known = None if condition is not None else completed_rows(files)
    return Chosen(selection, _limited(job, known))


def parts_of(job: Job, files: Sequence[InputFile], rows: RowCount | None) -> list[Part | None]:
    """Return the parts in which an input is read to be sent in a random order; None stands for the whole input.

    What is not on this machine is read once: it is only shuffled within windows.

    Args:
        job: what to run.
        files: of the input.
        rows: how many are used, as far as is known.
    """
    if any(file.is_stdin or file.found is not None for file in files):
        return [None]
    size_bytes = sum(file.size_bytes for file in files)
    requests = 0 if rows is None else rows.rows * job.per_row
    count = min(_MOST_PARTS, max(ceil(size_bytes / _PART_BYTES), ceil(requests / _PART_REQUESTS)))
    return [None] if count <= 1 else [Part(number, count, job.input.sample_seed) for number in range(count)]


def counted(job: Job, files: Sequence[InputFile], selection: Selection) -> SelectedRows:
    """Return the rows that are used after all of them were read.

    Raises:
        InputError: the input cannot be read to its end.
    """
    rows = selection.rows(files, job.input.limit)
    for _ in rows:
        pass
    return rows


def _limited(job: Job, rows: int | None) -> int | None:
    return rows if rows is None or job.input.limit is None else min(rows, job.input.limit)


def _sampled(
    job: Job, files: Sequence[InputFile], selection: Selection, check: Callable[[Sequence[Row]], None]
) -> Chosen:
    size = job.input.sample or 1
    if any(file.is_stdin for file in files):
        raise InputError("-: a sample is drawn from the whole input, standard input can be read only once; use a file")
    draw = Draw(size, job.input.sample_seed)
    if selection.reads_rows:
        for rows in selection.rows(files, check=check if selection.condition else None):
            draw.add([row.number for row in rows])
    else:
        draw.add_all(all_rows(files))
    drawn = draw.drawn()
    chosen = drawn if job.input.limit is None else drawn[: job.input.limit]
    few = f"sample = {size:,}: the input has only {len(drawn):,} rows to choose from; all are used"
    notices = (few,) if len(drawn) < size else ()
    return Chosen(Selection(numbers=within(chosen), condition=selection.condition), len(chosen), notices)


def all_rows(files: Sequence[InputFile]) -> int:
    """Return how many rows files have.

    Raises:
        InputError: one cannot be read to its end.
    """
    rows = stated_rows(files)
    if rows is None:
        rows = count_rows(files, None, lambda: False)
    if rows is None:
        rows = sum(len(some) for some in RowReader(files))  # raises what is wrong
    return rows
