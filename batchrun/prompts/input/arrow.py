"""Rows of Arrow as Python objects: what Python can hold, and what is wrong with the rows that it cannot."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

UNREADABLE = (ValueError, OverflowError, pa.ArrowException)
"""What reading a value raises: a text that is not UTF-8, a date beyond the year 9999, a time zone nobody knows."""


def python_rows(batch: pa.RecordBatch) -> Iterable[tuple[dict[str, Any] | None, str | None]]:
    """Return each row's columns, or None and what is wrong with a value that Python cannot hold."""
    batch = _in_microseconds(batch)
    try:
        return [(columns, None) for columns in batch.to_pylist()]
    except UNREADABLE:  # one value spoils the batch: find its row
        return [_python_row(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _python_row(batch: pa.RecordBatch) -> tuple[dict[str, Any] | None, str | None]:
    try:
        return batch.to_pylist()[0], None
    except UNREADABLE as problem:
        return None, f"holds a value that cannot be read: {problem}"


def python_values(column: pa.Array) -> list[Any]:
    """Return a column's values; None for what Python cannot hold."""
    kind = _coarser(column.type)
    column = column if kind == column.type else column.cast(kind, safe=False)
    try:
        return list(column.to_pylist())
    except UNREADABLE:
        return [_python_value(column, index) for index in range(len(column))]


def python_dicts(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict; what Python cannot hold is None."""
    names = batch.schema.names
    for values in zip(*map(python_values, batch.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _python_value(column: pa.Array, index: int) -> Any:
    try:
        return column[index].as_py()
    except UNREADABLE:
        return None


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch without nanoseconds, which Python's own types of time do not know."""
    for index, field in enumerate(batch.schema):
        kind = _coarser(field.type)
        if kind != field.type:
            batch = batch.set_column(index, field.name, batch.column(index).cast(kind, safe=False))
    return batch


def _coarser(kind: pa.DataType) -> pa.DataType:
    """Return the type with microseconds where it has nanoseconds, in lists and structs too."""
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_coarser(each.type)) for each in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarser(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_coarser(kind.value_type)))
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if kind == pa.time64("ns") else kind
