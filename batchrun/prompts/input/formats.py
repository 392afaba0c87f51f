"""The rows of one file, format by format: lists of rows, each with where it ends, as a row number and in bytes."""

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.prompts.input.arrow import python_rows
from batchrun.prompts.input.digits import exact, has_long_number
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.lines import MAX_LINE_BYTES, TOO_LONG, Block, blocks
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

_CSV_RECORD_BYTES = MAX_LINE_BYTES
"""Longest CSV record, and the end of what a forgotten quote swallows."""

csv.field_size_limit(_CSV_RECORD_BYTES)

_TOO_LONG = f"is longer than {MAX_LINE_BYTES >> 20} MiB"


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
            if not any(lines):
                continue  # blank lines pack so well that a small file may hold millions of them
            line = block.number + start
            rows = _parsed(lines, number, file, line)
            if number == reading.first and rows:
                _refuse_document(file, lines)
            number += len(rows)
            yield Part(_wanted(rows, reading), number, block.bytes_before(line + len(lines)))


def _wanted(rows: list[Row], reading: Reading) -> list[Row]:
    """Return the rows without those that stand before the first that is wanted."""
    return rows if not rows or rows[0].number >= reading.wanted else rows[max(0, reading.wanted - rows[0].number) :]


def _parsed(lines: list[bytes], number: int, file: InputFile, line_number: int) -> list[Row]:
    rows = []
    name, folder = file.name, file.folder
    loads = exact if has_long_number(b"\n".join(lines)) else orjson.loads
    for line_number, line in enumerate(lines, line_number):  # noqa: B020  # goes on from its own first value
        try:
            columns = loads(line)
        except orjson.JSONDecodeError as error:
            if not line or line.isspace():
                continue
            rows.append(Row(number, None, f"{name}:{line_number}", _not_json(line, error)))
        else:
            if columns.__class__ is dict:
                rows.append(Row(number, columns, f"{name}:{line_number}", None, folder))
            else:
                problem = f"is {kind_of(columns)}; must be a JSON object"
                rows.append(Row(number, None, f"{name}:{line_number}", problem))
        number += 1
    return rows


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""What a file in UTF-16 begins with."""


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    if line is TOO_LONG:
        return _TOO_LONG
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        if line.startswith(_UTF_16):
            return "is UTF-16, not UTF-8; convert the file: iconv -f UTF-16 -t UTF-8"
        return f"is not UTF-8 (byte {problem.start + 1})"
    if b"}\r{" in line:
        return "holds several objects, between which a line ends in CR alone; convert the file: tr '\\r' '\\n'"
    return f"is not JSON: {error.msg} (column {error.colno})"


def _refuse_document(file: InputFile, lines: list[bytes]) -> None:
    """Refuse a file that is one JSON document: every line of it would be a broken row, or all of it one."""
    first = next(line for line in lines if line and not line.isspace()).strip()
    if first in (b"[", b"{") or (first.startswith(b"[{") and first.endswith((b"}", b"},", b"}]"))):
        cure = "one object a line is needed: jq -c '.[]' FILE > FILE.jsonl"
        raise InputError(f"{file.name}: is one JSON document; {cure}")


def csv_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of CSV with a header; every value is a string as it stands.

    What a quote that is never closed swallows is one broken row, which says so.
    """
    lines = _TextLines(blocks(raw, reading.tee))
    header, records = _csv_header(lines, reading.file)
    number, rows, block = reading.first, [], lines.block
    name, folder = reading.file.name, reading.file.folder
    for line, fields, problem in _csv_records(lines, records, len(header)):
        if number < reading.wanted:
            number += 1
            continue
        columns = None if problem else dict(zip(header, fields, strict=True))
        rows.append(Row(number, columns, f"{name}:{line}", problem, folder))
        number += 1
        if len(rows) == reading.batch_rows or lines.block is not block:  # never the large rows of many blocks
            yield Part(rows, number, lines.block.bytes_before(records.line_num + 1))
            rows, block = [], lines.block
    yield Part(rows, number, lines.block.bytes_before(records.line_num + 1))


class _TextLines:
    """The lines of a file as text for the csv module, which takes several for a row; notes what is not UTF-8."""

    def __init__(self, source: Iterator[Block]) -> None:
        self.block = Block(1, [b""], 0, 0)
        """The block that was read last."""
        self._lines = self._lines_of(source)
        self._problem: str | None = None
        self._record_bytes = 0

    def _lines_of(self, source: Iterator[Block]) -> Iterator[bytes]:
        for self.block in source:
            yield from self.block.lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line; raises `csv.Error` where the record that it is of grows too long."""
        line = next(self._lines)
        self._record_bytes += len(line)
        if self._record_bytes > _CSV_RECORD_BYTES:
            raise csv.Error(f"longer than {_CSV_RECORD_BYTES >> 20} MiB; a quote may not be closed")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            self._problem = _TOO_LONG if line is TOO_LONG else "is not UTF-8"
            return line.decode("utf-8", "replace") + "\n"

    def end_record(self) -> str | None:
        """Return what is wrong with the lines of a record that has ended, and begin the next."""
        problem, self._problem, self._record_bytes = self._problem, None, 0
        return problem


def _csv_header(lines: _TextLines, file: InputFile) -> tuple[list[str], Any]:
    """Return the column names, and the csv reader behind them. Semicolons and tabs separate too."""
    texts = iter(lines)
    head = []
    for text in texts:
        head.append(text)
        if text.strip():
            break
    delimiter = next((each for each in ",;\t" if head and each in head[-1]), ",")
    records = csv.reader(itertools.chain(head, texts), delimiter=delimiter, strict=True)
    try:
        header = next(filter(None, records), [])
    except csv.Error as problem:
        raise InputError(f"{file.name}: the header is not CSV: {_said(problem)}") from None
    if lines.end_record() or any("\0" in name for name in header):
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
            problem = f"is not CSV: {_said(error)}"
            if records.line_num > line:
                problem += f"; it goes on to line {records.line_num}"
        problem = lines.end_record() or problem
        if problem is None and len(fields) != width:
            if not fields:
                continue  # a blank line
            problem = f"has {len(fields)} fields, the header has {width}"
        yield line, fields, problem


def _said(problem: csv.Error) -> str:
    """Return what the csv module says, in words for people who do not call it."""
    said = str(problem)
    if "new-line character" in said:
        return "a line ends in CR alone; convert the file: tr '\\r' '\\n'"
    return "a quote is not closed" if "end of data" in said else said


def parquet_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of Parquet as Python objects; null is None, structs are dicts."""
    parquet = open_parquet(raw, reading.file)
    total = parquet.metadata.num_rows
    name, folder = reading.file.name, reading.file.folder
    groups, done = _groups_from(parquet, reading.wanted - reading.first)
    for batch in parquet_batches(parquet, reading.batch_rows, reading.columns, groups):
        first, done = done, done + batch.num_rows
        if reading.first + done <= reading.wanted:
            continue
        rows = [
            Row(reading.first + row, columns, f"{name}: row {row}", problem, folder)
            for row, (columns, problem) in enumerate(python_rows(batch), first)
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
    """Return the file, to be read as a stream: neither whole column chunks are held in memory, nor what was read."""
    parquet = pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
    _refuse_twins(parquet.schema_arrow.names, file)
    return parquet


def _refuse_twins(names: list[str], file: InputFile) -> None:
    twin = next((name for name, count in Counter(names).items() if count > 1), None)
    if twin is not None:
        raise InputError(f'{file.shown}: has the column "{twin}" twice; give each a name of its own')


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
    for batch in parquet.iter_batches(size, row_groups=groups, columns=names or None):
        yield from _halved(batch)


def _halved(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the batch in pieces that are small also where rows of one file differ much in size."""
    if batch.num_rows <= 1 or batch.nbytes <= 2 * _PARQUET_BATCH_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half))
    yield from _halved(batch.slice(half))


ROWS: dict[str, Callable[[BinaryIO, Reading], Rows]] = {
    "jsonl": jsonl_rows,
    "csv": csv_rows,
    "parquet": parquet_rows,
}
