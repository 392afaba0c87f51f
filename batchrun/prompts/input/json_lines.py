"""The rows of JSON Lines: one object per line."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

import orjson

from batchrun.errors import InputError
from batchrun.prompts.input.conversion import CR_TO_LF, command_line
from batchrun.prompts.input.diagnosis import refuse_other_kinds
from batchrun.prompts.input.digits import exact, has_long_number
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.frame import is_frame
from batchrun.prompts.input.json_document import document_problem
from batchrun.prompts.input.lines import TOO_LONG, Chunk, chunks, lines_of
from batchrun.prompts.input.parts import TOO_LONG_PROBLEM, Numbers, Part, Reading, Rows, wanted
from batchrun.prompts.values import PYTHON_CURE, is_python, is_sound, kind_of
from batchrun.records import Row


def jsonl_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of JSON Lines. Blank lines are not rows; a line that is not an object is a broken row."""
    return jsonl_parts(chunks(raw, encoding=reading.file.encoding), reading)


def jsonl_parts(source: Iterator[Chunk], reading: Reading) -> Rows:
    """Yield the rows of JSON Lines from the bytes of a file."""
    file, number = reading.file, reading.first
    head = next(source, Chunk(b"", 0))
    refuse_other_kinds(head.content, file.name, file.for_commands)
    for block in lines_of(chain([head] if head.content else [], source)):
        if number + len(block.lines) <= reading.wanted:
            number += block.filled
            yield Part([], number, block.end_bytes)
            continue
        for start in range(0, len(block.lines), reading.batch_rows):
            lines = block.lines[start : start + reading.batch_rows]
            if not any(lines):
                continue  # blank lines pack so well that a small file may hold millions of them
            line = block.number + start
            if reading.numbers is None or number == reading.first:
                rows = parsed(lines, number, file, line)
                if number == reading.first and rows:
                    _refuse_document(file, lines, head.content)
                number += len(rows)
            else:
                rows, number = _chosen(lines, number, file, line, reading.numbers)
            yield Part(wanted(rows, reading), number, block.bytes_before(line + len(lines)))


def _chosen(
    lines: list[bytes], number: int, file: InputFile, line_number: int, numbers: Numbers
) -> tuple[list[Row], int]:
    """Return the rows that are needed, and the number of the row after these lines; others are not parsed."""
    filled = [index for index, line in enumerate(lines) if line and not line.isspace()]
    rows: list[Row] = []
    for chosen in numbers(number, number + len(filled)) if filled else ():
        index = filled[chosen - number]
        rows += parsed([lines[index]], chosen, file, line_number + index)
    return rows, number + len(filled)


_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of rows."""


def parsed(lines: list[bytes], number: int, file: InputFile, line_number: int) -> list[Row]:
    """Return the rows of some lines, given the numbers of the first row and of the first line."""
    rows = []
    place, folder = f"{file.name}:", file.folder
    if is_frame(file.path):  # nobody has seen its lines
        place, line_number = f"{file.name}: row ", line_number - 1
    loads = exact if has_long_number(b"\n".join(lines)) else orjson.loads
    for line_number, line in enumerate(lines, line_number):  # noqa: B020  # counts up from its own first value
        try:
            columns = loads(line)
        except orjson.JSONDecodeError as error:
            if not line or line.isspace():
                continue
            problem = not_json(line, error, f"column {error.colno}", file.for_commands)
            rows.append(Row(number, nearly_json(line), f"{place}{line_number}", problem, folder))
        else:
            if columns.__class__ is dict:
                kept = line if "body" in columns and "custom_id" in columns else b""
                rows.append(_new(Row, (number, columns, f"{place}{line_number}", None, folder, False, kept)))
            else:
                problem = f"is {kind_of(columns)}; must be a JSON object"
                rows.append(Row(number, None, f"{place}{line_number}", problem))
        number += 1
    return rows


def nearly_json(line: bytes) -> dict[str, Any] | None:
    """Return an object that only has values that JSON cannot express; None for everything else.

    Such a value costs its row only if the row needs it. Python writes NaN and half surrogate pairs; bytes that are not
    UTF-8 become half surrogate pairs here, which nothing can send.
    """
    try:
        columns = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(columns, dict) or not all(map(is_sound, columns)):
        return None
    return columns


_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(NaN|Infinity)\b')
"""A string, or a number that Python writes and JSON does not know."""


def not_json(line: bytes, error: orjson.JSONDecodeError, where: str, path: str = "") -> str:
    """Return what is wrong with a text that should be a JSON object.

    Args:
        line: the text.
        error: what the parser found.
        where: where that is, for people.
        path: of the file, as it is typed in a command, if the text is one of its lines.
    """
    if line is TOO_LONG:
        return TOO_LONG_PROBLEM
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        return f"is not UTF-8 (byte {problem.start + 1})"
    if path and b"}\r{" in line:
        return f"holds several objects on lines that end in CR alone; convert the file: {command_line(CR_TO_LF, path)}"
    if line.startswith(b"{'") and is_python(line.decode()):
        return f"is not JSON but was written by Python; {PYTHON_CURE}"
    if number := next(filter(None, (found[1] for found in _NO_NUMBER.finditer(line))), None):
        return f"is not JSON: {number.decode()} is not a number of JSON; write null"
    return f"is not JSON: {error.msg} ({where})"


def _refuse_document(file: InputFile, lines: list[bytes], head: bytes) -> None:
    """Refuse a file that is one JSON document: each of its lines would be a broken row."""
    first = next(line for line in lines if line and not line.isspace()).strip()
    if first in (b"[", b"{") or (first.startswith(b"[{") and first.endswith((b"}", b"},", b"}]"))):
        raise InputError(f"{file.name}: {document_problem(head, file.for_commands)}")
