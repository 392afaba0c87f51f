"""The rows of one file, format by format: lists of rows, each with where it ends, as a row number and in bytes."""

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.prompts.files import InputFile
from batchrun.prompts.lines import Block, blocks
from batchrun.prompts.rows import kind_of
from batchrun.records import Row


class Part(NamedTuple):
    """Consecutive rows of a file."""

    rows: list[Row]
    """Without those that are not wanted; may be empty."""
    end: int
    """Number of the row that follows."""
    bytes_read: int
    """How much of the file lies behind them."""


Rows = Iterator[Part]

_PARQUET_BATCH_BYTES = 4 << 20
"""Most that a batch of Parquet rows should hold: rows with images are read fewer at once."""

_CSV_FIELD_BYTES = 128 << 20
"""Longest CSV field. Twice what a request may hold, and the end of what a forgotten quote swallows."""

csv.field_size_limit(_CSV_FIELD_BYTES)


class Reading(NamedTuple):
    """How one file is read."""

    file: InputFile
    first: int
    """Number of the file's first row."""
    batch_rows: int
    """Rows in one list, at most."""
    wanted: int = 0
    """Number of the first row that is wanted."""
    columns: Collection[str] | None = None
    """The only columns that are needed, where the format can leave out others; None for all."""
    tee: Callable[[bytes], object] | None = None
    """Gets the unpacked bytes before their rows are handed out."""


def jsonl_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of JSON Lines. Blank lines are no rows; a line that is no object is a broken one."""
    file, number = reading.file, reading.first
    for block in blocks(raw, reading.tee):
        if number + len(block.lines) <= reading.wanted:
            number += sum(1 for line in block.lines if line and not line.isspace())
            yield Part([], number, block.end_bytes)
            continue
        for start in range(0, len(block.lines), reading.batch_rows):
            lines = block.lines[start : start + reading.batch_rows]
            line = block.number + start
            rows = _parsed(lines, number, file.name, line)
            if number == reading.first and rows:
                _refuse_document(file, lines)
            number += len(rows)
            yield Part(_wanted(rows, reading), number, block.bytes_before(line + len(lines)))


def _wanted(rows: list[Row], reading: Reading) -> list[Row]:
    """Return the rows without those that stand before the first that is wanted."""
    return rows if not rows or rows[0].number >= reading.wanted else rows[max(0, reading.wanted - rows[0].number) :]


def _parsed(lines: list[bytes], number: int, name: str, line_number: int) -> list[Row]:
    rows = []
    for line_number, line in enumerate(lines, line_number):  # noqa: B020  # goes on from its own first value
        try:
            columns = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line or line.isspace():
                continue
            rows.append(Row(number, None, f"{name}:{line_number}", _not_json(line, error)))
        else:
            if columns.__class__ is dict:
                rows.append(Row(number, columns, f"{name}:{line_number}"))
            else:
                problem = f"is {kind_of(columns)}; must be a JSON object"
                rows.append(Row(number, None, f"{name}:{line_number}", problem))
        number += 1
    return rows


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        return f"is not UTF-8 (byte {problem.start + 1})"
    return f"is not JSON: {error.msg} (column {error.colno})"


def _refuse_document(file: InputFile, lines: list[bytes]) -> None:
    """Refuse a file that is one JSON document: every line of it would be a broken row, or all of it one."""
    first = next(line for line in lines if line and not line.isspace()).strip()
    if first in (b"[", b"{") or (first.startswith(b"[{") and first.endswith((b"}", b"},", b"}]"))):
        cure = "one object a line is needed: jq -c '.[]' FILE > FILE.jsonl"
        raise InputError(f"{file.name}: is one JSON document; {cure}")


def csv_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of CSV with a header; every value is a string as it stands."""
    lines = _TextLines(blocks(raw, reading.tee))
    header, records = _csv_header(lines, reading.file)
    number, rows = reading.first, []
    for line, fields, problem in _csv_records(lines, records, len(header)):
        if number < reading.wanted:
            number += 1
            continue
        columns = None if problem else dict(zip(header, fields, strict=True))
        rows.append(Row(number, columns, f"{reading.file.name}:{line}", problem))
        number += 1
        if len(rows) == reading.batch_rows:
            yield Part(rows, number, lines.bytes_before(records.line_num + 1))
            rows = []
    yield Part(rows, number, lines.bytes_before(records.line_num + 1))


class _TextLines:
    """The lines of a file as text for the csv module, which takes several for a row; notes what is not UTF-8."""

    def __init__(self, source: Iterator[Block]) -> None:
        self._blocks = source
        self._block = Block(1, [b""], 0, 0)
        self.is_broken = False
        """Whether a line since this was last cleared is not UTF-8."""

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks:
            self._block = block
            for line in block.lines:
                try:
                    text = line.decode()
                except UnicodeDecodeError:
                    text, self.is_broken = line.decode("utf-8", "replace"), True
                yield text + "\n"

    def bytes_before(self, line: int) -> int:
        """Return how much of the file lies before a line of the block that was read last."""
        return self._block.bytes_before(line)


def _csv_header(lines: _TextLines, file: InputFile) -> tuple[list[str], Any]:
    """Return the column names, and the csv reader behind them. Semicolons and tabs separate too."""
    texts = iter(lines)
    head = []
    for text in texts:
        head.append(text)
        if text.strip():
            break
    delimiter = next((each for each in ",;\t" if head and each in head[-1]), ",")
    records = csv.reader(itertools.chain(head, texts), delimiter=delimiter)
    header = next(filter(None, records), [])
    if lines.is_broken:
        raise InputError(f"{file.name}: the header is not UTF-8; convert the file: iconv -t UTF-8")
    _refuse_twins(header, file)
    return header, records


def _csv_records(lines: _TextLines, records: Any, width: int) -> Iterator[tuple[int, list[str], str | None]]:
    """Yield line, fields and problem of each record."""
    while True:
        line, fields, problem = records.line_num + 1, [], None
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not CSV: {error}"
        if lines.is_broken:
            problem, lines.is_broken = "is not UTF-8", False
        elif problem is None and len(fields) != width:
            if not fields:
                continue  # a blank line
            problem = f"has {len(fields)} fields, the header has {width}"
        yield line, fields, problem


def parquet_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of Parquet as Python objects; null is None, structs are dicts."""
    parquet = open_parquet(raw, reading.file)
    total = parquet.metadata.num_rows
    name = reading.file.name
    groups, done = _groups_from(parquet, reading.wanted - reading.first)
    for batch in parquet_batches(parquet, reading.batch_rows, reading.columns, groups):
        first, done = done, done + batch.num_rows
        if reading.first + done <= reading.wanted:
            continue
        rows = [
            Row(reading.first + row, columns, f"{name}: row {row}", problem)
            for row, (columns, problem) in enumerate(_python_rows(_in_microseconds(batch)), first)
        ]
        yield Part(_wanted(rows, reading), reading.first + done, reading.file.size_bytes * done // total)
    if not groups:
        yield Part([], reading.first + total, reading.file.size_bytes)


def _groups_from(parquet: pq.ParquetFile, row: int) -> tuple[list[int], int]:
    """Return the row groups from the one with this row on, and how many rows stand before them."""
    before = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if before + rows > row:
            return list(range(group, parquet.metadata.num_row_groups)), before
        before += rows
    return [], before


def open_parquet(raw: BinaryIO, file: InputFile) -> pq.ParquetFile:
    """Return the file, to be read as a stream: whole column chunks are not held in memory."""
    parquet = pq.ParquetFile(raw, buffer_size=1 << 20)
    _refuse_twins(parquet.schema_arrow.names, file)
    return parquet


def _refuse_twins(names: list[str], file: InputFile) -> None:
    twin = next((name for name, count in Counter(names).items() if count > 1), None)
    if twin is not None:
        raise InputError(f'{file.path}: has the column "{twin}" twice; give each a name of its own')


def parquet_batches(
    parquet: pq.ParquetFile, batch_rows: int, columns: Collection[str] | None, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `batch_rows` rows, fewer when rows are large, with the named columns that there are.

    Only of these row groups, if any are named.
    """
    metadata = parquet.metadata
    size_bytes = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    row_bytes = size_bytes // max(1, metadata.num_rows) + 1
    names = [name for name in parquet.schema_arrow.names if columns is None or name in columns]
    # With no column at all the rows could not be told; whoever finds none of his names wants to hear which there are.
    size = max(1, min(batch_rows, _PARQUET_BATCH_BYTES // row_bytes))
    yield from parquet.iter_batches(size, row_groups=groups, columns=names or None)


def _python_rows(batch: pa.RecordBatch) -> Iterable[tuple[dict[str, Any] | None, str | None]]:
    """Return each row's columns, or None and what is wrong with a value that Python cannot hold."""
    try:
        return [(columns, None) for columns in batch.to_pylist()]
    except (ValueError, OverflowError):  # one value spoils the batch: find its row
        return [_python_row(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _python_row(batch: pa.RecordBatch) -> tuple[dict[str, Any] | None, str | None]:
    try:
        return batch.to_pylist()[0], None
    except (ValueError, OverflowError) as problem:
        return None, f"holds a value that cannot be read: {problem}"


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch without nanoseconds, which Python's datetime does not know."""
    for index, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            kind = pa.timestamp("us", column.type.tz)
            batch = batch.set_column(index, column.name, batch.column(index).cast(kind, safe=False))
    return batch


ROWS: dict[str, Callable[[BinaryIO, Reading], Rows]] = {
    "jsonl": jsonl_rows,
    "csv": csv_rows,
    "parquet": parquet_rows,
}
