"""Writes rows as text files: JSON Lines and CSV."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv

from batchrun.prompts.input.arrow import python_dicts, python_values


def write_jsonl(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write one JSON object per row: times as ISO 8601, bytes as base64, decimals as text, NaN as null."""
    with path.open("wb") as file:
        for batch in batches:
            file.writelines(json_line(row) + b"\n" for row in python_dicts(batch))


def write_csv(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a header and one line per row: lists and structs as JSON, other values as `write_jsonl` does.

    Null is an empty field; an empty text is a quoted empty field.
    """
    flat = pa.schema([field.with_type(_flat_type(field.type)) for field in schema])
    with pa.csv.CSVWriter(path, flat) as file:
        for batch in batches:
            columns = [_flat(column, field.type) for column, field in zip(batch.columns, flat, strict=True)]
            file.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


def json_line(value: Any) -> bytes:
    """Return a value as JSON: times as ISO 8601, bytes as base64, decimals as text, NaN as null."""
    return orjson.dumps(value, default=_text)


def _text(value: Any) -> str:
    """Return the text of a value that JSON has no type for: bytes, a decimal, a duration."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _flat_type(kind: pa.DataType) -> pa.DataType:
    """Return a column's type in a CSV file: unchanged where Arrow writes it well, otherwise text."""
    is_plain = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())
    return kind if is_plain or kind == pa.large_string() else pa.string()


def _flat(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.array([None if value is None else _field(value) for value in python_values(column)], kind)


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json_line(value).decode().strip('"')
