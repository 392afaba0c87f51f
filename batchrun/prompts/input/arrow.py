"""Rows of Arrow as Python objects: what Python can hold, and what is wrong with the rows that it cannot."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa

UNREADABLE = (ValueError, OverflowError, pa.ArrowException)
"""What reading a value raises: a text that is not UTF-8, a date beyond the year 9999, a time zone nobody knows."""


class NotText(bytes):
    """Bytes that are not UTF-8. They can be an image, but never become a text: it would be Python's `b'…'`."""

    def __str__(self) -> str:
        raise ValueError("the row has bytes where a text is needed, and they are not UTF-8")

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        return str(self)


def python_rows(
    batch: pa.RecordBatch, as_bytes: Collection[str] = ()
) -> Iterable[tuple[dict[str, Any] | None, str | None]]:
    """Return each row's columns, or None and what is wrong with a value that Python cannot hold.

    Some programs write texts without the mark that they are texts (Impala, Hive): bytes that are UTF-8 are text here.

    Args:
        batch: the rows.
        as_bytes: columns whose bytes stay bytes.
    """
    binary = [each.name for each in batch.schema if each.name not in as_bytes and _has_bytes(each.type)]
    rows = _python_rows(_in_microseconds(batch))
    for columns, _ in rows:
        if columns is not None:
            columns.update((name, _as_text(columns[name])) for name in binary)
    return rows


def _has_bytes(kind: pa.DataType) -> bool:
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    if pa.types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _has_bytes(kind.storage_type)
    return any(test(kind) for test in is_bytes) or any(_has_bytes(each.type) for each in _fields(kind))


def _fields(kind: pa.DataType) -> list[pa.Field]:
    """Return the fields of a nested type; of other types nothing."""
    return [kind.field(index) for index in range(kind.num_fields)]


def _as_text(value: Any) -> Any:
    """Return a value with text for its bytes; what is not UTF-8 is `NotText`."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return NotText(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_as_text, value))
    return {key: _as_text(each) for key, each in value.items()} if isinstance(value, dict) else value


def _python_rows(batch: pa.RecordBatch) -> list[tuple[dict[str, Any] | None, str | None]]:
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
    """Return the type with microseconds where it has nanoseconds, also inside lists, maps and structs."""
    inner = [each.with_type(_coarser(each.type)) for each in _fields(kind)]
    if pa.types.is_struct(kind):
        return pa.struct(inner)
    if pa.types.is_map(kind):
        return pa.map_(*(each.type for each in inner[0].type), keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(inner[0])
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(inner[0])
    if pa.types.is_dictionary(kind) and _coarser(kind.value_type) != kind.value_type:
        return _coarser(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if kind == pa.time64("ns") else kind
