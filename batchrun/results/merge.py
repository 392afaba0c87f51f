"""Merges outcomes with the input columns of their rows: two ordered streams, neither held in memory."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

_PART_BYTES = 64 * 2**20
"""Most input bytes copied at a time: many samples of a few large rows must not fill the memory."""


class InputColumns(Protocol):
    """The columns of the input that the results keep."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield consecutive rows from row 0, one for every input row, in batches of any size."""
        ...


class Part(NamedTuple):
    """Consecutive outcomes, and the columns of their input rows."""

    start: int
    stop: int
    """First index among the outcomes, and the index after the last."""
    columns: list[pa.Array]


class Merge:
    """Reads the input forward, up to the rows of the outcomes."""

    def __init__(self, inputs: InputColumns) -> None:
        self._kept = kept_types(inputs.schema)
        self._batches = inputs.batches()
        self._batch: pa.RecordBatch = None  # until the first call of parts
        self._first = self._end = 0  # the rows of the present batch

    def parts(self, rows: Sequence[int]) -> Iterator[Part]:
        """Yield the columns of these rows in parts, up to the last row of the input; rows ascend and may repeat."""
        start = 0
        while start < len(rows) and self._reach(rows[start]):
            stop = min(bisect_left(rows, self._end, start), start + self._most_rows())
            yield Part(start, stop, self._columns(rows[start:stop]))
            start = stop

    def _reach(self, row: int) -> bool:
        """Read forward to the batch with the row; return False if the input ends before it."""
        while row >= self._end:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._batch, self._first, self._end = batch, self._end, self._end + batch.num_rows
        return True

    def _most_rows(self) -> int:
        row_bytes = self._batch.nbytes // self._batch.num_rows
        return int(max(1, _PART_BYTES // max(1, row_bytes)))

    def _columns(self, rows: Sequence[int]) -> list[pa.Array]:
        columns = list(zip(self._batch.columns, self._kept, strict=True))
        if list(rows) == list(range(rows[0], rows[0] + len(rows))) and all(each.type == kept for each, kept in columns):
            return [column.slice(rows[0] - self._first, len(rows)) for column, _ in columns]  # nothing is copied
        indices = pa.array([row - self._first for row in rows], pa.int64())
        return [column.take(indices) if column.type == kept else _as_text(column, indices) for column, kept in columns]


def kept_types(schema: pa.Schema) -> list[pa.DataType]:
    """Return the types of the input's columns in the results: unchanged, or text if Parquet cannot hold them."""
    return [type_ if _can_be_kept(type_) else pa.string() for type_ in schema.types]


def _can_be_kept(type_: pa.DataType) -> bool:
    """Ask Arrow: the answer changes with its releases. For example, Parquet has no type for JSON's `{}`."""
    try:
        table = pa.schema([("column", type_)]).empty_table().take(pa.array([], pa.int64()))
        pq.write_table(table, pa.BufferOutputStream())
    except pa.ArrowNotImplementedError:
        return False
    return True


def _as_text(column: pa.Array, indices: pa.Array) -> pa.Array:
    return pa.array([_text(column[index]) for index in indices.to_pylist()], pa.string())


def _text(scalar: pa.Scalar) -> str | None:
    value: Any = scalar.as_py()
    return value if value is None or isinstance(value, str) else orjson.dumps(value, default=str).decode()
