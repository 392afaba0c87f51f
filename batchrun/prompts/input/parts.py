"""What a format is given to read, and what it yields: rows in parts, each with where it ends."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from batchrun.errors import InputError
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.lines import MAX_LINE_BYTES
from batchrun.records import Row

TOO_LONG_PROBLEM = f"is longer than {MAX_LINE_BYTES >> 20} MiB"


class Part(NamedTuple):
    """Consecutive rows of a file."""

    rows: list[Row]
    """Without those that are not wanted; may be empty."""
    end: int
    """Number of the row that follows."""
    bytes_read: int
    """How much of the file lies behind them."""


Rows = Iterator[Part]


Numbers = Callable[[int, int], Sequence[int]]
"""Returns the chosen row numbers from a first to below an end, in order."""


class Reading(NamedTuple):
    """How one file is read."""

    file: InputFile
    first: int
    """Number of the file's first row."""
    batch_rows: int
    """Rows in one list, at most."""
    wanted: int = 0
    """Number of the first row that is wanted."""
    columns: Collection[str] | None = None
    """The only columns that are needed, where the format can leave out others; None for all."""
    as_bytes: Collection[str] = ()
    """Columns whose bytes stay bytes, since they are images or other files."""
    numbers: Numbers | None = None
    """Finds the rows that are needed; None for all."""


def wanted(rows: list[Row], reading: Reading) -> list[Row]:
    """Return the rows without those that stand before the first that is wanted."""
    return rows if not rows or rows[0].number >= reading.wanted else rows[max(0, reading.wanted - rows[0].number) :]


def refuse_twins(names: Iterable[str], file: InputFile) -> None:
    """Refuse a file that names a column twice: a row can hold only one of the two."""
    twin = next((name for name, count in Counter(names).items() if count > 1), None)
    if twin is not None:
        raise InputError(f'{file.shown}: has the column "{twin}" twice; give each a name of its own')
