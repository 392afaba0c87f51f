"""The rows of Parquet, read as a stream in bounded memory."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.prompts.input.arrow import python_rows
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.parts import Part, Reading, Rows, refuse_twins, wanted
from batchrun.records import Row
from batchrun.storage.places import open_found

_BATCH_BYTES = 4 << 20
"""Most that a batch should hold: rows with images are read fewer at a time."""

_MOST_FOOTERS = 100
"""Most files whose footers are read before anything is sent: a footer takes about a millisecond."""

_MOST_REMOTE_FOOTERS = 16
_AT_ONCE = 8
"""The same of files that are elsewhere, where a footer takes some tenths of a second, and how many at once."""


def parquet_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of Parquet as Python objects; null is None, structs are dicts."""
    parquet = open_parquet(raw, reading.file)
    total = row_count(parquet)
    name, folder = reading.file.name, reading.file.folder
    groups, done = groups_from(parquet, reading.wanted - reading.first)
    for batch in parquet_batches(parquet, reading.batch_rows, reading.columns, groups):
        first, done = done, done + batch.num_rows
        if reading.first + done <= reading.wanted:
            continue
        places = needed(reading, first, done)
        if len(places) < batch.num_rows:
            batch = batch.take(pa.array([place - first for place in places], pa.int64()))
        rows = [
            Row(reading.first + row, columns, f"{name}: row {row}", problem, folder, has_filled_nulls=True)
            for row, (columns, problem) in zip(places, python_rows(batch, reading.as_bytes), strict=True)
        ]
        yield Part(wanted(rows, reading), reading.first + done, reading.file.size_bytes * done // max(1, total))
    if not groups:
        yield Part([], reading.first + total, reading.file.size_bytes)


def needed(reading: Reading, first: int, end: int) -> Sequence[int]:
    """Return which rows of a file, from a first to below an end, are needed."""
    if reading.numbers is None:
        return range(first, end)
    return [row - reading.first for row in reading.numbers(reading.first + first, reading.first + end)]


def groups_from(parquet: pq.ParquetFile, row: int) -> tuple[list[int], int]:
    """Return the row groups from the one with this row on, and how many rows stand before them."""
    before = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if before + rows > row:
            return list(range(group, parquet.metadata.num_row_groups)), before
        before += rows
    return [], before


def row_count(parquet: pq.ParquetFile) -> int:
    """Return how many rows the file has, as its row groups state: some writers leave the sum in the footer at 0."""
    metadata = parquet.metadata
    return sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


def stated_rows(files: Sequence[InputFile]) -> int | None:
    """Return how many rows files have, without reading them; None unless all are Parquet and few enough."""
    remote = sum(file.found is not None for file in files)
    if any(file.format not in ("parquet", "run") for file in files):
        return None
    if len(files) > _MOST_FOOTERS or remote > _MOST_REMOTE_FOOTERS:
        return None
    try:
        if not remote:
            return sum(map(_footer_rows, files))
        with ThreadPoolExecutor(_AT_ONCE, "batchrun-footers") as threads:
            return sum(threads.map(_footer_rows, files))
    except (OSError, InputError, pa.ArrowException):
        return None  # reported when the file is read


def _footer_rows(file: InputFile) -> int:
    if file.found is None:
        return row_count(_opened(file.path))
    with open_found(file.found) as raw:
        return row_count(_opened(raw))


def open_parquet(raw: BinaryIO, file: InputFile) -> pq.ParquetFile:
    """Return the file, read as a stream: column chunks and rows that were read are not held in memory."""
    parquet = _opened(raw, buffer_size=1 << 20)
    refuse_twins(parquet.schema_arrow.names, file)
    return parquet


def _opened(source: Any, **options: Any) -> pq.ParquetFile:
    """Return an open file; raises `ArrowInvalid` for names of columns that are not UTF-8, as for other damage."""
    try:
        return pq.ParquetFile(source, pre_buffer=False, **options)
    except UnicodeDecodeError:
        raise pa.ArrowInvalid("the names of its columns are not UTF-8") from None


def parquet_batches(
    parquet: pq.ParquetFile, batch_rows: int, columns: Collection[str] | None, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `batch_rows` rows, fewer when rows are large, with the named columns that there are.

    Only of these row groups, if any are named.
    """
    metadata = parquet.metadata
    size_bytes = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    row_bytes = max(0, size_bytes) // max(1, row_count(parquet)) + 1
    names = [name for name in parquet.schema_arrow.names if columns is None or name in columns]
    # Without any column the rows could not be counted; with all of them a message can list the names.
    size = max(1, min(batch_rows, _BATCH_BYTES // row_bytes))
    for batch in parquet.iter_batches(size, row_groups=groups, columns=names or None):
        yield from _halved(batch)


def _halved(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the batch in pieces that are small also where rows of one file differ much in size."""
    if batch.num_rows <= 1 or batch.nbytes <= 2 * _BATCH_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half))
    yield from _halved(batch.slice(half))
