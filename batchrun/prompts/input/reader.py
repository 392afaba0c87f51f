"""Input files → the stream of rows, numbered over all files, and how far it is."""

import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.formats import ROWS
from batchrun.prompts.input.parts import Numbers, Part, Reading, Rows
from batchrun.records import Row
from batchrun.storage.places import open_found

BATCH_ROWS = 256
"""Rows handed over at once, at most: enough that handing over costs nothing, few enough to stop soon."""


class RowReader:
    """Reads files one after the other. Iterating starts at the first row; only one iteration at a time."""

    def __init__(
        self,
        files: Sequence[InputFile],
        *,
        stdin: BinaryIO | None = None,
        columns: Collection[str] | None = None,
        as_bytes: Collection[str] = (),
        limit: int | None = None,
        batch_rows: int = BATCH_ROWS,
        first: int = 0,
        numbers: Numbers | None = None,
    ) -> None:
        """Prepare to read; opens nothing.

        Args:
            files: what `find_files` found.
            stdin: what `-` stands for.
            columns: the only columns that are needed; Parquet leaves out others.
            as_bytes: columns whose bytes stay bytes, since they are images or other files.
            limit: only the first N rows.
            batch_rows: rows in one list, at most.
            first: row to begin with; those before it are passed over, as cheaply as the format allows.
            numbers: finds the rows that are needed; some formats leave out others.
        """
        self._files = files
        self._stdin = stdin
        self._columns = columns
        self._as_bytes = as_bytes
        self._limit = limit
        self._batch_rows = batch_rows
        self._first = first
        self._numbers = numbers
        self._total_bytes = sum(file.size_bytes for file in files)
        self._is_countable = not any(file.is_stdin for file in files)
        self._bytes_done = 0
        self._is_closed = False
        self.rows_read = 0
        self.is_complete = False
        """Whether the last row has been handed out."""

    @property
    def rows_used(self) -> int:
        """Rows handed out, or about to be: all that were read."""
        return self.rows_read

    @property
    def fraction_read(self) -> float | None:
        """How much of the input's bytes lies behind the rows handed out, 0 to 1; None with standard input."""
        if self.is_complete:
            return 1.0
        if not self._is_countable:
            return None
        return min(1.0, self._bytes_done / max(1, self._total_bytes))

    def close(self) -> None:
        """End the iteration, in whatever thread it is, at its next list of rows."""
        self._is_closed = True

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield lists of consecutive rows, none empty; of a pipe, what is there.

        Raises:
            InputError: a file cannot be read, or breaks off; the rows before that were handed out.
            RunDirectoryError: standard input cannot be kept.
        """
        return (rows for rows in self.steps() if rows)

    def steps(self) -> Iterator[list[Row]]:
        """Yield the same, and an empty list now and then while rows are passed over.

        Raises:
            InputError: a file cannot be read, or breaks off; the rows before that were handed out.
            RunDirectoryError: standard input cannot be kept.
        """
        self.rows_read, self._bytes_done, self.is_complete = 0, 0, False
        bytes_before = 0
        for file in self._files:
            for rows, end, file_bytes in self._parts_of(file):
                is_last = self._limit is not None and end >= self._limit
                if self._limit is not None and is_last:
                    rows = [row for row in rows if row.number < self._limit]
                    end = self._limit
                self.rows_read = end
                self._bytes_done = bytes_before + file_bytes
                self.is_complete = is_last  # last: another thread may read it before it reads the number
                yield rows
                if is_last or self._is_closed:
                    return
            bytes_before += file.size_bytes
        self.is_complete = True

    def _parts_of(self, file: InputFile) -> Iterator[Part]:
        with opened(file, self._stdin) as raw:
            columns, numbers = self._columns, self._numbers
            reading = Reading(file, self.rows_read, self._batch_rows, self._first, columns, self._as_bytes, numbers)
            parts = ROWS[file.format](raw, reading)
            yield from parts if not file.encoding else _naming(file.encoding, parts)


def _naming(encoding: str, parts: Rows) -> Rows:
    """Yield parts of a text; rows that are not in its encoding are named so: it is UTF-8 only for those who read it."""
    for rows, end, file_bytes in parts:
        named = [row if row.problem is None else row._replace(problem=_named(encoding, row.problem)) for row in rows]
        yield Part(named, end, file_bytes)


def _named(encoding: str, problem: str) -> str:
    return f"is not {encoding}" if problem.startswith("is not UTF-8") else problem


@contextmanager
def opened(file: InputFile, stdin: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading; turn errors of reading it into those that name it.

    Args:
        file: to be read.
        stdin: what `-` stands for; it stays open.

    Raises:
        InputError: it cannot be read, or breaks off.
    """
    if file.is_stdin and stdin is None:
        raise InputError("-: standard input is closed; pipe the rows in, or name a file")
    try:
        if stdin is not None and file.is_stdin:
            yield stdin
        else:
            with open_file(file) as raw:
                yield raw
    except (OSError, EOFError, zlib.error, pa.ArrowException) as problem:
        raise unreadable(file, problem) from problem


def open_file(file: InputFile) -> BinaryIO:
    """Open a file for reading, without a buffer of its own: what reads it reads much at once."""
    if file.found is not None:
        return cast(BinaryIO, open_found(file.found))
    return Path(file.path).open("rb", buffering=0)


def unreadable(file: InputFile, problem: Exception) -> InputError:
    """Return the error for a file that cannot be read to its end."""
    if isinstance(problem, EOFError) or "truncated" in str(problem).lower():
        return InputError(f"{file.shown}: ends too early; download or write it again")
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return InputError(f"{file.shown}: cannot be read: {reason}")
