"""The input's columns as Arrow, for the results: one Arrow row per input row, types kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.prompts.input.files import InputFile, is_same, nearest
from batchrun.prompts.input.first_run import column_names
from batchrun.prompts.input.flat_lines import FlatLines, line_lists
from batchrun.prompts.input.json_lines import parsed
from batchrun.prompts.input.parquet_file import open_parquet, parquet_batches, row_count
from batchrun.prompts.input.parts import Numbers
from batchrun.prompts.input.reader import RowReader, open_file, unreadable
from batchrun.prompts.input.types import array, cast_to_texts, merged, parquet_type, sound, storable, texts, type_of
from batchrun.prompts.values import sound as sound_value
from batchrun.records import Row

_BATCH_ROWS = 1024

_PARQUET = ("parquet", "run")

_TYPED = ("jsonl", "json", "xlsx")
"""Formats whose values have types that their rows show; other formats than these and Parquet have texts only."""

_MOST_COLUMNS = 2000
"""Most columns that JSON may have together: rows whose keys are data would make one each, and all be as wide."""


class InputColumns:
    """The columns of an input. Parquet keeps its types; CSV and plain text are text; JSON is read to find its types.

    A column that has several types becomes text: strings and dates as they stand, everything else as JSON. So do whole
    numbers of more than 2**53 next to fractions, which could not hold all their digits. To read everything twice costs
    as much again, and most files show in their first rows what they are: so that can be taken for granted, until a row
    is otherwise.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        keep: tuple[str, ...] | None = None,
        limit: int | None = None,
        *,
        look_rows: int | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        """Find the schema; reads JSON files to their end, unless `look_rows` says otherwise.

        Args:
            files: what `find_files` found; no standard input.
            keep: the columns wanted, in this order; None for all, in the order in which they appear.
            limit: only the first N rows.
            look_rows: how many rows of a JSON file to look at; `batches` raises `LateSchema` where that was too few.
            numbers: finds the rows that are needed; others may be null in every column, which takes less time.

        Raises:
            InputError: `keep` names a column that no row has, or a file cannot be read.
            LateSchema: `keep` names a column that none of the rows has that were looked at.
        """
        self._files = files
        self._keep = keep
        self._limit = limit
        self._numbers = numbers
        # With a limit, which of several files count is known only when all before them were counted.
        self._look_rows = look_rows if limit is None or len(files) == 1 else None
        self._types: dict[str, pa.DataType | None] = {}  # None: has several types
        self._others: set[str] = set()  # columns that are not wanted, for a message only
        self._find_types()
        names = list(self._types)
        for name in keep or ():
            if name not in self._types:
                if self._look_rows is not None:
                    raise LateSchema(name)
                raise InputError(f"output.keep = {name}: no row has this column{nearest(name, self._others)}")
        stored = {name: None if kind is None else storable(kind) for name, kind in self._types.items()}
        self._texts = {name for name, kind in stored.items() if kind is None}
        self.schema = pa.schema(
            [(name, pa.string() if name in self._texts else stored[name]) for name in keep or names]
        )
        """Fixed; without metadata."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield consecutive rows from 0, numbered as requests are; a broken row is null in every column.

        Raises:
            InputError: a file cannot be read, or is no longer what it was when the schema was found.
            LateSchema: a row does not fit the schema, and not all were looked at.
        """
        left, first = self._limit, 0
        for file in self._files:
            if left == 0:
                return
            for batch in self._batches_of(file, left, _from(self._numbers, first)):
                yield batch
                first += batch.num_rows
                left = None if left is None else left - batch.num_rows

    def _find_types(self) -> None:
        left = self._limit
        for file in self._files:
            if left == 0:
                return
            rows = self._find_types_of(file, left)
            left = None if left is None else max(0, left - rows)

    def _find_types_of(self, file: InputFile, limit: int | None) -> int:
        """Take in the types of one file; return how many rows were seen."""
        if file.format in _PARQUET:
            with _opened_parquet(file) as parquet:
                names = column_names(file, parquet.schema_arrow)
                for field in parquet.schema_arrow:
                    if self._is_wanted(name := names[field.name]):
                        self._add(name, parquet_type(parquet, field))
                    else:
                        self._others.add(name)
                return row_count(parquet)
        rows = 0
        for batch in _rows(file, limit):
            rows += len(batch)
            columns = [row for row in batch if row]
            self._add_all(columns)
            if file.format in _TYPED and len(self._types) > _MOST_COLUMNS:
                cure = "run the same command with --keep and the columns to keep; nothing is sent twice"
                raise InputError(f"{file.shown}: its rows have more than {_MOST_COLUMNS:,} different columns; {cure}")
            if file.format not in _TYPED and columns and self._limit is None:
                break  # one row shows them all, and nobody needs the count
            if file.format in _TYPED and self._look_rows is not None and rows >= self._look_rows:
                break
        return rows

    def _add_all(self, rows: list[dict[str, Any]]) -> None:
        for name in dict.fromkeys(chain.from_iterable(rows)):
            if self._is_wanted(name):
                if self._types.get(name, pa.null()) is not None:
                    self._add(name, type_of([row.get(name) for row in rows]))
            elif len(self._others) < _MOST_COLUMNS:
                self._others.add(name)

    def _is_wanted(self, name: str) -> bool:
        return self._keep is None or name in self._keep

    def _add(self, name: str, kind: pa.DataType | None) -> None:
        self._types[name] = merged(self._types[name], kind) if name in self._types else kind

    def _batches_of(self, file: InputFile, limit: int | None, numbers: Numbers | None) -> Iterator[pa.RecordBatch]:
        try:
            if file.format in _PARQUET:
                yield from self._parquet_batches(file, limit)
            elif file.format == "jsonl" and numbers is None and (flat := self._flat_lines()) is not None:
                yield from self._line_batches(file, limit, flat)
            else:
                is_guess = self._look_rows is not None and file.format in _TYPED
                yield from (self._batch_of(rows, is_guess=is_guess) for rows in _rows(file, limit, numbers))
            if not is_same(file):
                raise InputError(f"{file.shown}: has changed while it was read; run the same command again")
        except (pa.ArrowException, OverflowError, TypeError) as problem:
            cure = "if the file has not changed, leave the column out with --keep"
            raise InputError(f"{file.shown}: does not fit the schema found before: {problem}; {cure}") from problem

    def _flat_lines(self) -> FlatLines | None:
        return FlatLines.of(self._types, self._others, self.schema) if len(self._others) < _MOST_COLUMNS else None

    def _line_batches(self, file: InputFile, limit: int | None, flat: FlatLines) -> Iterator[pa.RecordBatch]:
        """Yield the rows of JSON Lines, of most of which no dict is made."""
        left = limit
        for lines in line_lists(file, _BATCH_ROWS):
            arrays = flat.arrays(lines)
            if arrays is not None:
                batch = _record_batch(arrays, self.schema, len(lines))[:left]
            elif rows := _columns_of(parsed(lines, 0, file, 1))[:left]:  # where they are shows only in messages
                batch = self._batch_of(rows, is_guess=self._look_rows is not None)
            else:
                continue
            yield batch
            left = None if left is None else left - batch.num_rows
            if left == 0:
                return

    def _batch_of(self, rows: list[dict[str, Any] | None], *, is_guess: bool) -> pa.RecordBatch:
        known = [row or {} for row in rows]
        if is_guess and self._keep is None and (late := set().union(*known) - self._types.keys()):
            raise LateSchema(min(late))
        arrays = []
        for field in self.schema:
            values = [row.get(field.name) for row in known]
            if self._types[field.name] is None:
                arrays.append(texts(values))
            elif is_guess:
                arrays.append(self._guessed(values, field))
            else:
                arrays.append(texts(values) if field.name in self._texts else array(values, field.type))
        return _record_batch(arrays, self.schema, len(rows))

    def _guessed(self, values: list[Any], field: pa.Field) -> pa.Array:
        """Return a column whose values have the type that was guessed; raises `LateSchema` where they do not."""
        found = type_of(values)
        if found == field.type == pa.string() == self._types[field.name]:
            return pa.array(values, field.type)
        kind = merged(self._types[field.name], found)
        if kind is None or storable(kind) != storable(self._types[field.name]):
            raise LateSchema(field.name)
        return texts(values) if field.name in self._texts else array(values, field.type)

    def _parquet_batches(self, file: InputFile, limit: int | None) -> Iterator[pa.RecordBatch]:
        with _opened_parquet(file) as parquet:
            left = row_count(parquet) if limit is None else limit
            names = column_names(file, parquet.schema_arrow)
            wanted = [name for name, new in names.items() if new in self.schema.names]
            for batch in parquet_batches(parquet, _BATCH_ROWS, wanted):
                batch = batch.slice(0, left).rename_columns([names[name] for name in batch.schema.names])
                arrays = [self._parquet_column(batch, field) for field in self.schema]
                yield _record_batch(arrays, self.schema, batch.num_rows)
                left -= batch.num_rows
                if not left:
                    return

    def _parquet_column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            return pa.nulls(batch.num_rows, field.type)
        column = sound(batch.column(index))
        if field.name in self._texts:
            return cast_to_texts(column)
        # Whole numbers among fractions become fractions.
        is_exact = not pa.types.is_floating(field.type)
        return column if column.type == field.type else column.cast(field.type, safe=is_exact)


class LateSchema(Exception):
    """A row has a column, or a type, that none of the rows had that were looked at. Carries the column's name."""


@contextmanager
def _opened_parquet(file: InputFile) -> Iterator[pq.ParquetFile]:
    try:
        with open_file(file) as raw:
            yield open_parquet(raw, file)
    except OSError as problem:
        raise unreadable(file, problem) from problem


def _from(numbers: Numbers | None, base: int) -> Numbers | None:
    """Return what finds the rows of a file by their numbers in it, given the number of its first row."""
    if numbers is None:
        return None
    return lambda first, end: [row - base for row in numbers(first + base, end + base)]


def _rows(file: InputFile, limit: int | None, numbers: Numbers | None = None) -> Iterator[list[dict[str, Any] | None]]:
    """Yield the columns of consecutive rows; None for broken rows, and for rows that are not needed."""
    reader = RowReader([file], limit=limit, batch_rows=_BATCH_ROWS, numbers=numbers)
    done = 0
    for rows in reader.steps():
        columns = _columns_of(rows)
        if numbers is not None:
            places = [row.number - done for row in rows]
            some, columns = columns, [None] * (reader.rows_read - done)
            for place, each in zip(places, some, strict=True):
                columns[place] = each
            done = reader.rows_read
        if columns:
            yield columns


def _columns_of(rows: list[Row]) -> list[dict[str, Any] | None]:
    return [row.columns if row.problem is None else _readable(row.columns) for row in rows]


def _readable(columns: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the columns with null for what is not UTF-8; None if they are nested too deeply to look."""
    try:
        return None if columns is None else {name: sound_value(value) for name, value in columns.items()}
    except RecursionError:
        return None


def _record_batch(arrays: list[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    if not arrays:  # a batch without columns still has rows
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
