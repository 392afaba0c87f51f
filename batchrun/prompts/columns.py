"""The input's columns as Arrow, for the results: one Arrow row per input row, types kept."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.prompts.files import InputFile, is_same, nearest
from batchrun.prompts.formats import open_parquet, parquet_batches
from batchrun.prompts.reader import RowReader, open_file, unreadable
from batchrun.prompts.values import python_values

_BATCH_ROWS = 1024

_MOST_FIELDS = 200
"""Widest object that becomes a struct; a wider one is a mapping whose keys are data, and becomes JSON text."""

_MOST_COLUMNS = 2000
"""Most columns that JSON may have together: rows whose keys are data would make one each, and all be as wide."""

_DEEPEST = 16
"""Deepest nesting that becomes Arrow; what lies deeper is a document, and becomes JSON text."""


class InputColumns:
    """The columns of an input. Parquet keeps its types; CSV is text; the types of JSON are found by reading it all.

    A column that has several types becomes text: strings as they stand, everything else as JSON. Reading all before the
    first row is handed out costs 3 µs a row and saves every case of a type that shows itself late.
    """

    def __init__(
        self, files: Sequence[InputFile], keep: tuple[str, ...] | None = None, limit: int | None = None
    ) -> None:
        """Find the schema; reads JSON files to their end.

        Args:
            files: what `find_files` found; no standard input.
            keep: the columns wanted, in this order; None for all, in the order in which they appear.
            limit: only the first N rows.

        Raises:
            InputError: `keep` names a column that no row has, or a file cannot be read.
        """
        self._files = files
        self._keep = keep
        self._limit = limit
        self._types: dict[str, pa.DataType | None] = {}  # None: has several types
        self._others: set[str] = set()  # columns that are not wanted, for a message only
        self._find_types()
        names = list(self._types)
        for name in keep or ():
            if name not in self._types:
                raise InputError(f"output.keep names {name}, a column that no row has{nearest(name, self._others)}")
        stored = {name: None if kind is None else _storable(kind) for name, kind in self._types.items()}
        self._texts = {name for name, kind in stored.items() if kind is None}
        self.schema = pa.schema(
            [(name, pa.string() if name in self._texts else stored[name]) for name in keep or names]
        )
        """Fixed; without metadata."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield consecutive rows from 0, numbered as requests are; a broken row is null in every column.

        Raises:
            InputError: a file cannot be read, or is no longer what it was when the schema was found.
        """
        left = self._limit
        for file in self._files:
            if left == 0:
                return
            for batch in self._batches_of(file, left):
                yield batch
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
        if file.format == "parquet":
            with _opened_parquet(file) as parquet:
                for field in parquet.schema_arrow:
                    if self._is_wanted(field.name):
                        self._add(field.name, field.type)
                    else:
                        self._others.add(field.name)
                return int(parquet.metadata.num_rows)
        rows = 0
        for batch in _rows(file, limit):
            rows += len(batch)
            columns = [row for row in batch if row]
            self._add_all(columns)
            if file.format == "jsonl" and len(self._types) > _MOST_COLUMNS:
                cure = "run it again and name those to keep with --keep: nothing is sent twice"
                raise InputError(f"{file.path}: its rows have more than {_MOST_COLUMNS:,} different columns; {cure}")
            if file.format == "csv" and columns and self._limit is None:
                break  # one row shows them all, and nobody needs the count
        return rows

    def _add_all(self, rows: list[dict[str, Any]]) -> None:
        for name in dict.fromkeys(chain.from_iterable(rows)):
            if self._is_wanted(name):
                if self._types.get(name, pa.null()) is not None:
                    self._add(name, _type_of([row.get(name) for row in rows]))
            elif len(self._others) < _MOST_COLUMNS:
                self._others.add(name)

    def _is_wanted(self, name: str) -> bool:
        return self._keep is None or name in self._keep

    def _add(self, name: str, kind: pa.DataType | None) -> None:
        self._types[name] = _merged(self._types[name], kind) if name in self._types else kind

    def _batches_of(self, file: InputFile, limit: int | None) -> Iterator[pa.RecordBatch]:
        try:
            if file.format == "parquet":
                yield from self._parquet_batches(file, limit)
            else:
                yield from (self._batch_of(rows) for rows in _rows(file, limit))
            if not is_same(file):
                raise InputError(f"{file.path}: has changed while it was read")
        except (pa.ArrowException, OverflowError, TypeError) as problem:
            cure = "if it did not change meanwhile, leave the column out with --keep"
            raise InputError(f"{file.path}: does not fit the schema found before: {problem}; {cure}") from problem

    def _batch_of(self, rows: list[dict[str, Any] | None]) -> pa.RecordBatch:
        known = [row or {} for row in rows]
        arrays = []
        for field in self.schema:
            values = [row.get(field.name) for row in known]
            arrays.append(_texts(values) if field.name in self._texts else _array(values, field.type))
        return _record_batch(arrays, self.schema, len(rows))

    def _parquet_batches(self, file: InputFile, limit: int | None) -> Iterator[pa.RecordBatch]:
        with _opened_parquet(file) as parquet:
            left = parquet.metadata.num_rows if limit is None else limit
            for batch in parquet_batches(parquet, _BATCH_ROWS, self.schema.names):
                batch = batch.slice(0, left)
                arrays = [self._parquet_column(batch, field) for field in self.schema]
                yield _record_batch(arrays, self.schema, batch.num_rows)
                left -= batch.num_rows
                if not left:
                    return

    def _parquet_column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            return pa.nulls(batch.num_rows, field.type)
        column = _sound(batch.column(index))
        if field.name in self._texts:
            return _parquet_texts(column)
        # Whole numbers beside fractions become fractions, if need be the nearest: that is what JSON does too.
        is_exact = not pa.types.is_floating(field.type)
        return column if column.type == field.type else column.cast(field.type, safe=is_exact)


@contextmanager
def _opened_parquet(file: InputFile) -> Iterator[pq.ParquetFile]:
    try:
        with open_file(file) as raw:
            yield open_parquet(raw, file)
    except OSError as problem:
        raise unreadable(file, problem) from problem


def _rows(file: InputFile, limit: int | None) -> Iterator[list[dict[str, Any] | None]]:
    for rows in RowReader([file], limit=limit, batch_rows=_BATCH_ROWS):
        yield [row.columns for row in rows]


def _type_of(values: list[Any]) -> pa.DataType | None:
    """Return the one type of values from JSON; None when they have several, or one that no column should have."""
    try:
        kind = _array(values).type
    except (pa.ArrowException, OverflowError):
        return None
    return kind if _is_tame(kind, _DEEPEST) else None


def _is_tame(kind: pa.DataType, depth: int) -> bool:
    inner = _inner(kind)
    return not inner or (
        depth > 0 and len(inner) <= _MOST_FIELDS and all(_is_tame(each.type, depth - 1) for each in inner)
    )


def _inner(kind: pa.DataType) -> list[pa.Field]:
    """Return what structs and lists are made of; of other types nothing."""
    if pa.types.is_struct(kind):
        return [kind.field(index) for index in range(kind.num_fields)]
    return [kind.value_field] if pa.types.is_list(kind) else []


def _merged(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """Return the type that holds both; None when there is none."""
    if one is None or other is None or one == other:
        return one if other is not None else None
    if pa.uint64() in (one, other) and pa.null() not in (one, other):
        return None  # pyarrow would make int64 of it, which does not hold it
    try:
        schemas = [pa.schema([("", kind)]) for kind in (one, other)]
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    # Objects with keys of their own in each row are found here: each is small, together they are not.
    return kind if _is_tame(kind, _DEEPEST) or not _is_tame(one, _DEEPEST) else None


def _storable(kind: pa.DataType) -> pa.DataType | None:
    """Return the type as Parquet can store it: null becomes string; None for what has an empty struct in it."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        inner = [(each, _storable(each.type)) for each in _inner(kind)]
        if not inner or any(its is None for _, its in inner):
            return None
        return pa.struct([each.with_type(its) for each, its in inner])
    if pa.types.is_list(kind):
        element = _storable(kind.value_type)
        return None if element is None else pa.list_(kind.value_field.with_type(element))
    return kind


def _array(values: list[Any], kind: pa.DataType | None = None) -> pa.Array:
    try:
        return pa.array(values, kind)
    except pa.ArrowInvalid:  # perhaps a whole number over 2**53 among fractions: the nearest fraction will do
        kind = kind or pa.infer_type(values)
        return pa.array([_with_fractions(value, kind) for value in values], kind)


def _with_fractions(value: Any, kind: pa.DataType) -> Any:
    """Return a value with its whole numbers made fractions where the type wants them, the nearest there is."""
    if isinstance(value, int) and pa.types.is_floating(kind):
        return float(value)
    if isinstance(value, list) and pa.types.is_list(kind):
        return [_with_fractions(each, kind.value_type) for each in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {each.name: _with_fractions(value.get(each.name), each.type) for each in _inner(kind)}
    return value


def _texts(values: Iterable[Any]) -> pa.Array:
    """Return a text column of values of any type: strings as they stand, everything else as JSON."""
    return pa.array(
        [value if value is None or isinstance(value, str) else _text(value) for value in values], pa.string()
    )


def _parquet_texts(column: pa.Array) -> pa.Array:
    if not (pa.types.is_nested(column.type) or pa.types.is_binary(column.type)):
        try:
            return column.cast(pa.string())
        except pa.ArrowException:  # a time zone nobody knows, a type that is a program's own
            pass
    return _texts(python_values(column))


def _sound(column: pa.Array) -> pa.Array:
    """Return the column with null for texts that are not UTF-8: the results could not be read for them."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        indices = [index if _is_sound(column.slice(index, 1)) else None for index in range(len(column))]
        return column.take(pa.array(indices, pa.int64()))
    return column


def _is_sound(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _text(value: Any) -> str | None:
    """Return JSON; None of what is nested deeper than anything writes."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # deeper than 254, or a whole number of more than 64 bits
        try:
            return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
        except (RecursionError, TypeError):
            return None


def _record_batch(arrays: list[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    if not arrays:  # a batch without columns has rows all the same
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
