"""Picks the rows for the report's table, and shortens their cells to fit the page."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2_000
"""Most rows in the table."""

FAILED_ROWS = 500
"""Most rows that are shown because they failed; the others are picked at random."""

_CELL_CHARS = (2_000, 1_000, 500, 250, 120, 60)
"""Lengths to cut texts at; the first one that makes the rows fit is used."""

_COLUMNS = 60
"""Most columns of the results that are shown."""

_BATCH_ROWS = 4_096

_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class Sample(NamedTuple):
    """Rows of the results, as JSON can hold them."""

    columns: list[str]
    rows: list[list[Any]]
    is_all: bool
    """Whether these are all rows of the results."""


def pick(rows: int, failed: Sequence[int], most: int = ROWS) -> list[int]:
    """Return positions in order: all of `failed`, and others at random; the same for the same file.

    Args:
        rows: number of rows in the file.
        failed: positions that must be among them; at most `most`.
        most: number of positions to return, if there are as many rows.
    """
    if rows <= most:
        return list(range(rows))
    chosen = set(failed)
    chance = random.Random(rows)  # noqa: S311  # not for security
    while len(chosen) < most:
        chosen.add(chance.randrange(rows))
    return sorted(chosen)


def read_sample(path: Path, failed: Sequence[int], most_bytes: int) -> Sample:
    """Return rows of a results.parquet that take at most about `most_bytes` in a page; holds one batch at a time."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        columns = _shown([field.name for field in schema if not _has_bytes(field.type)])
        total = file.metadata.num_rows
        chosen = pick(total, failed)
        rows: list[list[Any]] = []
        start = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            here = [position - start for position in chosen[len(rows) :] if position < start + batch.num_rows]
            if here:
                picked = pa.table(batch.take(pa.array(here))).select(columns)
                rows += map(list, zip(*(_cells(picked.column(name)) for name in columns), strict=True))
            start += batch.num_rows
    shown = _fitting(rows, most_bytes)
    return Sample(columns, shown, len(shown) == total)


def _shown(names: list[str]) -> list[str]:
    """Return the columns to show: if there are too many, columns of the input are left out."""
    cut = names.index("model") if "model" in names else len(names)
    room = max(0, _COLUMNS - (len(names) - cut))
    return names[: min(cut, room)] + names[cut:]


def _has_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes, such as images, which a table cannot show."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _cells(column: pa.ChunkedArray) -> list[Any]:
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
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return cut(text, _CELL_CHARS[0])


def cut(text: str, most: int) -> str:
    """Return a text of about `most` characters, with its full length if it was cut."""
    return text if len(text) <= most else f"{text[:most]}… (of {len(text):,} characters)"


def _fitting(rows: list[list[Any]], most_bytes: int) -> list[list[Any]]:
    """Return the rows with shorter texts, and if necessary fewer rows, so that they fit."""
    for most in _CELL_CHARS:
        shown = [[_shorter(cell, most) for cell in row] for row in rows]
        if _size(shown) <= most_bytes:
            return shown
    while shown and _size(shown) > most_bytes:
        shown = shown[::2]
    return shown


def _shorter(cell: Any, most: int) -> Any:
    if not isinstance(cell, str) or len(cell) <= most:
        return cell
    head, mark, tail = cell.rpartition("… (of ")  # already cut: keep its full length
    was_cut = mark and tail.endswith(" characters)") and len(tail) < 30
    return f"{head[:most]}{mark}{tail}" if was_cut else cut(cell, most)


def _size(rows: list[list[Any]]) -> int:
    return sum(len(harmless_json(row).encode()) for row in rows)


def harmless_json(data: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or start another."""
    return orjson.dumps(data).decode().translate(_HARMLESS)
