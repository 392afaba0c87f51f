"""The rows of CSV with a header; every value is a string."""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from batchrun.errors import InputError
from batchrun.prompts.input.conversion import CR_TO_LF, command_line
from batchrun.prompts.input.diagnosis import HEAD_BYTES, delimiter, not_utf8, refuse_other_kinds
from batchrun.prompts.input.endings import separator as stated_separator
from batchrun.prompts.input.lines import MAX_LINE_BYTES, TOO_LONG, Block, blocks
from batchrun.prompts.input.parts import TOO_LONG_PROBLEM, Part, Reading, Rows, refuse_twins
from batchrun.records import Row

_CSV_RECORD_BYTES = MAX_LINE_BYTES
"""Longest CSV record; an unclosed quote takes no more than this."""

_NOT_UTF_8 = "is not UTF-8"

csv.field_size_limit(_CSV_RECORD_BYTES)


def csv_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of CSV with a header; every value is an unchanged string.

    A quote that is never closed makes one broken row of all that follows it, up to the longest record.
    """
    heads: list[bytes] = []

    def check(head: bytes) -> None:
        refuse_other_kinds(head, reading.file.name, reading.file.for_commands)
        heads.append(head[:HEAD_BYTES])

    lines = _TextLines(blocks(raw, check, reading.file.encoding))
    header, records, lines_before = _csv_header(lines, reading, lambda: b"".join(heads))
    number, rows, block = reading.first, [], lines.block
    name, folder = reading.file.name, reading.file.folder
    for line, fields, problem in _csv_records(lines, records, len(header)):
        if number < reading.wanted:
            number += 1
            if lines.block is not block:
                yield Part([], number, lines.block.start_bytes)
                block = lines.block
            continue
        # A text that is not UTF-8 costs its row only if the row needs it.
        is_whole = len(fields) == len(header) and problem in (None, _NOT_UTF_8)
        columns = dict(zip(header, fields, strict=True)) if is_whole else None
        rows.append(Row(number, columns, f"{name}:{line + lines_before}", problem, folder))
        number += 1
        if len(rows) == reading.batch_rows or lines.block is not block:  # never the large rows of many blocks
            yield Part(rows, number, lines.block.bytes_before(records.line_num + lines_before + 1))
            rows, block = [], lines.block
    yield Part(rows, number, lines.block.bytes_before(records.line_num + lines_before + 1))


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
            self._problem = TOO_LONG_PROBLEM if line is TOO_LONG else _NOT_UTF_8
            return line.decode("utf-8", "surrogateescape") + "\n"

    def end_record(self) -> str | None:
        """Return what is wrong with the lines of a record that has ended, and begin the next."""
        problem, self._problem, self._record_bytes = self._problem, None, 0
        return problem


class _Header(NamedTuple):
    names: list[str]
    records: Any
    """The csv reader after them."""
    lines_before: int
    """How many lines stand before what the csv reader has read."""


def _csv_header(lines: _TextLines, reading: Reading, head: Callable[[], bytes]) -> _Header:
    """Return the column names. Commas, semicolons, tabs or bars separate, or what Excel's line `sep=` names."""
    file, texts = reading.file, iter(lines)
    before: list[str] = []
    line = ""
    for line in texts:
        before.append(line)
        if line.strip():
            break
    is_tsv = stated_separator(file.name) is not None
    separator, lines_before = stated_separator(file.name) or delimiter(line), 0
    if found := _SEPARATOR.fullmatch(line):
        separator, lines_before, before = found[1], len(before), []
    is_unquoted = is_tsv and _is_unquoted(head())
    records = csv.reader(
        itertools.chain(before, texts),
        delimiter=separator,
        strict=True,
        quoting=csv.QUOTE_NONE if is_unquoted else csv.QUOTE_MINIMAL,
    )
    try:
        names = next(filter(None, records), [])
    except csv.Error as problem:
        raise InputError(f"{file.name}: the header is not CSV: {_reason(problem, head(), file.for_commands)}") from None
    if lines.end_record() or any("\0" in name for name in names):
        raise InputError(f"{file.name}: the header is not UTF-8{not_utf8(head(), file.for_commands)}")
    refuse_twins(names, file)
    return _Header(names, records, lines_before)


def _is_unquoted(head: bytes) -> bool:
    """Return whether the quotes of a file of tabs are letters: no line is continued, and CSV would misread some.

    Both are written: spreadsheets quote as in CSV, most data sets of language do not.
    """
    lines = head.decode("utf-8", "replace").split("\n")
    texts = [
        line.removesuffix("\r") for line in (lines[:-1] if len(lines) > 2 else lines) if line
    ]  # the last may be cut
    tabs = {line.count("\t") for line in texts}
    try:
        records = list(csv.reader(texts, delimiter="\t", strict=True))
    except csv.Error:
        return len(tabs) == 1
    spans_lines = len(records) < len(texts) and tabs != {0}
    return len(tabs) == 1 and (spans_lines or tabs != {len(fields) - 1 for fields in records})


_SEPARATOR = re.compile(r"\ufeff?sep=([,;\t|])[\r\n]*", re.IGNORECASE)
"""The line with which Excel says what separates the columns."""


def _csv_records(lines: _TextLines, records: Any, width: int) -> Iterator[tuple[int, list[str], str | None]]:
    """Yield line, fields and problem of each record."""
    while True:
        line, fields, problem = records.line_num + 1, [], None
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not CSV: {_reason(error)}"
            if records.line_num > line:
                problem += f"; the record ends at line {records.line_num}"
        problem = lines.end_record() or problem
        if problem is None and len(fields) != width:
            if not fields:
                continue  # a blank line
            problem = f"has {len(fields)} field{'s' * (len(fields) > 1)}, the header has {width}"
        yield line, fields, problem


def _reason(problem: csv.Error, head: bytes = b"", path: str = "FILE") -> str:
    """Return the reason of an error of the csv module, for users."""
    reason = str(problem)
    if "new-line character" in reason:
        # Next to other line ends the command would cut fields in two.
        cure = "" if not head or b"\n" in head else f"; convert the file: {command_line(CR_TO_LF, path)}"
        return f"a line ends in CR alone{cure}"
    return "a quote is not closed" if "end of data" in reason else reason
