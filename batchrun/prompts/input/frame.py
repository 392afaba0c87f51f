"""Data from Python, kept as a file: a frame becomes Parquet, with its types; dicts and strings become JSON Lines.

The name of the file is a digest of its content. So the same data is the same file, with the same time, and a run that
resumes knows it again; other data is another file, and a run that is refused leaves the one before as it was.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.errors import InputError, RunDirectoryError
from batchrun.storage.force import force
from batchrun.storage.urls import shown

_NAME = re.compile(r"frame-[0-9a-f]{16}\.(?:parquet|jsonl)")

_GROUP_ROWS = 10_000
"""Rows in a row group, whatever the sizes of the batches: equal data must become equal bytes."""

_JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATETIME
"""Dates are refused: as texts they would lose their type."""


def is_frame(path: str) -> bool:
    """Return whether a file is data from Python, by its name."""
    return _NAME.fullmatch(Path(path).name) is not None


def shown_input(path: str) -> str:
    """Return a path of a job's input for people: data from Python has no name that anybody chose."""
    return "the data" if is_frame(path) else shown(path)


def keep_batches(reader: pa.RecordBatchReader, folder: Path) -> Path:
    """Write a stream of Arrow batches as Parquet and return its path.

    Raises:
        InputError: a value cannot be converted, or a column has a type that Parquet lacks.
        RunDirectoryError: the file cannot be written.
    """
    schema = pa.schema([_storable(field) for field in reader.schema], reader.schema.metadata)
    with _written(folder, "parquet") as temporary:
        try:
            with pq.ParquetWriter(temporary, schema, compression="zstd", compression_level=1) as file:
                for table in _groups(reader, schema):
                    file.write_table(table, row_group_size=_GROUP_ROWS)
        except pa.ArrowException as problem:
            raise InputError(_unstorable(schema, problem)) from problem
        return _named(temporary, folder, "parquet")


def keep_rows(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write rows as JSON Lines and return the path of the file.

    Raises:
        InputError: a row is not a mapping, or has a value that JSON lacks.
        RunDirectoryError: the file cannot be written.
    """
    with _written(folder, "jsonl") as temporary:
        with temporary.open("wb") as file:
            for number, row in enumerate(rows):
                file.write(_line(row, number))
        return _named(temporary, folder, "jsonl")


def remove_others(folder: Path, used: Iterable[str]) -> None:
    """Remove the files of earlier data; `used` has the paths of those that stay."""
    names = {Path(path).name for path in used}
    for path in folder.glob("frame-*"):
        if is_frame(path.name) and path.name not in names:
            path.unlink(missing_ok=True)


def _line(row: Mapping[str, Any], number: int) -> bytes:
    if not isinstance(row, Mapping):
        raise InputError(f"row {number} is of type {type(row).__name__}; each row must be a dict, or each a string")
    try:
        return orjson.dumps(row if isinstance(row, dict) else dict(row), option=_JSON_OPTIONS)
    except TypeError as problem:
        why = f"row {number} cannot be kept as JSON: {problem}"
        raise InputError(f"{why}; convert it, or pass a list or a data frame, which keeps dates and bytes") from problem


def _unstorable(schema: pa.Schema, problem: Exception) -> str:
    """Return the message about data that Parquet cannot hold, with the column at fault where it has no such type."""
    for field in schema:
        try:
            pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
        except pa.ArrowException:
            return f'the column "{field.name}" has a type that Parquet lacks: {field.type}; convert it'
    return f"the data cannot be kept as Parquet: {problem}"


@contextmanager
def _written(folder: Path, ending: str) -> Iterator[Path]:
    """Yield the temporary path for a file in a folder, which is created; the file is removed if it still exists."""
    temporary = folder / f".frame.{ending}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as problem:
        reason = problem.strerror or problem
        raise RunDirectoryError(f"{folder}: cannot be written: {reason}; use another -o DIR") from problem
    finally:
        if temporary.exists():
            temporary.unlink()


def _named(temporary: Path, folder: Path, ending: str) -> Path:
    """Give a file the name of its content; where there is such a file already, that one stays."""
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    path = folder / f"frame-{digest}.{ending}"
    if not path.exists():
        force(temporary)  # or a power cut may leave a broken file with this name, which would stay
        temporary.replace(path)
    return path


def _groups(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield tables of equal size, whatever batches the reader has; the last one may be smaller, or empty."""
    waiting: list[pa.Table] = []
    rows = 0
    for batch in reader:
        waiting.append(_converted(batch, schema))
        rows += batch.num_rows
        if rows >= _GROUP_ROWS:
            table = pa.concat_tables(waiting)
            whole = rows - rows % _GROUP_ROWS
            yield table.slice(0, whole).combine_chunks()
            rest = table.slice(whole)
            waiting, rows = [rest], rest.num_rows
    if rows or not waiting:
        yield pa.concat_tables(waiting or [schema.empty_table()]).combine_chunks()


def _converted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    columns = [_cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(kind):  # Arrow casts no dictionary of views
        values = column.dictionary.cast(kind.value_type)
        return pa.DictionaryArray.from_arrays(column.indices, values, ordered=kind.ordered)
    if pa.types.is_run_end_encoded(column.type):  # nor runs, not even to the type of their values
        return _cast(pc.run_end_decode(column), kind)
    return column.cast(kind)


def _storable(field: pa.Field) -> pa.Field:
    """Return a field with a type that Parquet can hold: views become plain, run-end encoding is undone."""
    return field.with_type(_plain(field.type))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain(kind.value_type), ordered=kind.ordered)
    if pa.types.is_struct(kind):
        return pa.struct([_storable(kind.field(index)) for index in range(kind.num_fields)])
    if pa.types.is_large_list(kind):
        return pa.large_list(_storable(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_storable(kind.value_field))
    return kind
