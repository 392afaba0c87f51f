"""Values of the results as cells of the page's table: null, boolean, number, or text that is not too long."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from batchrun.report.texts import vector_text

LONGEST = 2_000
"""Most characters of a cell."""


def cells_of(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values as null, boolean, number, or text that is not too long."""
    kind = column.type
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())  # Python's types cannot hold all of them
    try:
        return [_cell(value) for value in column.to_pylist()]
    except (ValueError, OverflowError, pa.ArrowException):  # such as nanoseconds inside a struct
        return ["(cannot be shown)"] * len(column)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)  # JavaScript rounds greater integers
    text = value if isinstance(value, str) else vector_text(value) or orjson.dumps(value, default=str).decode()
    return cut(text, LONGEST)


def cut(text: str, most: int) -> str:
    """Return a text of about `most` characters, with its full length if it was cut."""
    return text if len(text) <= most else f"{text[:most]}… (of {len(text):,} characters)"


def shorter(cell: Any, most: int) -> Any:
    """Return a cell of about `most` characters, with the full length of its text, which may have been cut before."""
    if not isinstance(cell, str) or len(cell) <= most:
        return cell
    head, mark, tail = cell.rpartition("… (of ")  # already cut: keep its full length
    was_cut = mark and tail.endswith(" characters)") and len(tail) < 30
    return f"{head[:most]}{mark}{tail}" if was_cut else cut(cell, most)


def has_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes, such as images, which a table cannot show."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return has_bytes(kind.value_type)
    return any(has_bytes(kind.field(number).type) for number in range(kind.num_fields))


def last_messages(conversations: pa.ChunkedArray) -> list[Any]:
    """Return the text of the last message of each conversation."""
    try:
        return [_last_text(value) for value in conversations.to_pylist()]
    except (ValueError, OverflowError, pa.ArrowException):  # as above
        return [None] * len(conversations)


def _last_text(value: Any) -> str | None:
    """Return the text of the last message in a column's value, which may be JSON text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if isinstance(value, dict):
        value = value.get("messages")
    if not isinstance(value, list) or not value or not isinstance(value[-1], dict):
        return None
    content = value[-1].get("content")
    if isinstance(content, list):
        content = "\n".join(_texts_in(content))
    return cut(content, LONGEST) if isinstance(content, str) else None


def _texts_in(parts: Sequence[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
