"""The rows of one JSON array: each of its elements, an object or a string, is a row. Read as a stream.

The elements are cut out by their brackets and strings, without a parser, and each is then read like a line of JSON
Lines. So memory is that of a chunk or of the longest element, and a broken element costs one row.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import orjson

from batchrun.errors import InputError
from batchrun.prompts.input.conversion import BOM
from batchrun.prompts.input.diagnosis import HEAD_BYTES, holds_json_lines, misnamed, refuse_other_kinds
from batchrun.prompts.input.digits import exact
from batchrun.prompts.input.json_document import document_problem
from batchrun.prompts.input.json_lines import jsonl_parts, nearly_json, not_json
from batchrun.prompts.input.lines import MAX_LINE_BYTES, TOO_LONG, Chunk, chunks
from batchrun.prompts.input.parts import Part, Reading, Rows
from batchrun.prompts.input.text_file import COLUMN
from batchrun.prompts.values import is_sound, kind_of
from batchrun.records import Row

_STRING_REST = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_REST = re.compile(_STRING_REST, re.DOTALL)
"""The rest of a string: up to the quote that ends it, or as far as it is there."""

_STRING = rb'"' + _STRING_REST + rb'"'


def _nested(levels: int) -> bytes:
    """Return the pattern of brackets with what is between them, up to so many levels deep."""
    deeper = rb"|" + _nested(levels - 1) if levels > 1 else b""
    return rb'[\[{](?:[^"\[\]{}]++|' + _STRING + deeper + rb")*+[\]}]"


_LEVELS = 4
"""How deep most elements are at most. Each level costs memory in the pattern, and deeper ones are cut out too."""

_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"|" + _nested(_LEVELS) + rb")*+", re.DOTALL)
"""What is whole before the next bracket, or before a string whose end is not there yet."""

_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb"|" + _nested(_LEVELS) + rb")*+", re.DOTALL)
"""The same, but no further than the next comma: for where only the array itself is open.

So most elements are one match: with a step of Python for each bracket cutting takes twice as long.
"""

_SPACE = b" \t\r\n"


def json_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the elements of the array that a file holds; JSON Lines in a file with this ending are read as such.

    Raises:
        InputError: the file is another JSON document, ends too early, or does not end where its array does.
    """
    source, head, end_bytes = chunks(raw, encoding=reading.file.encoding), b"", 0
    while len(head) < HEAD_BYTES and (chunk := next(source, None)):
        head, end_bytes = head + chunk.content, chunk.end_bytes
    refuse_other_kinds(head, reading.file.name, reading.file.for_commands)
    all_chunks = chain([Chunk(head, end_bytes)] if head else [], source)
    text = head.lstrip(BOM + _SPACE)
    if text.startswith(b"["):
        if len(head) < HEAD_BYTES:  # the whole file: then nothing of it is sent where it is cut
            cutter = _Cutter()
            _refuse(cutter, sum(1 for _ in cutter.elements(head)), reading)
        return _array_parts(all_chunks, reading)
    if not text or holds_json_lines(head):
        return jsonl_parts(all_chunks, reading)
    path = reading.file.for_commands
    if cure := misnamed(head, "json", path):
        raise InputError(f"{reading.file.name}: is not JSON{cure}")
    raise InputError(f"{reading.file.name}: {document_problem(head, path, is_whole=len(head) < HEAD_BYTES)}")


def _array_parts(source: Iterator[Chunk], reading: Reading) -> Rows:
    cutter, number, start_bytes = _Cutter(), reading.first, 0
    rows: list[Row] = []
    for content, end_bytes in source:
        share = (end_bytes - start_bytes) / len(content)
        for element in cutter.elements(content):
            if number >= reading.wanted:
                rows.append(_row(element, number, reading))
            number += 1
            if len(rows) == reading.batch_rows:
                yield Part(rows, number, start_bytes + int(share * element.end))
                rows = []
        yield Part(rows, number, end_bytes)
        rows, start_bytes = [], end_bytes
        if cutter.problem:
            break
    _refuse(cutter, number - reading.first, reading)


def _refuse(cutter: "_Cutter", count: int, reading: Reading) -> None:
    """Refuse a file that is not one array, after so many elements."""
    if cutter.problem:
        raise InputError(f"{reading.file.name}: {cutter.problem}")
    if not cutter.is_at_end:
        elements = f"{count:,} element{'s' * (count != 1)}"
        problem = f"ends too early, after {elements} of its array (line {cutter.line})"
        raise InputError(f"{reading.file.name}: {problem}; download or write it again")


class _Element(NamedTuple):
    """One element of the array."""

    number: int
    """From 0."""
    content: bytes
    line: int
    """Line of the file on which it begins, from 1."""
    column: int
    """Where on this line, in bytes from 1."""
    end: int
    """Where it ends in the bytes that were given last."""


class _Cutter:
    """Cuts an array into its elements, as its bytes come."""

    def __init__(self) -> None:
        self.is_at_end = False
        """Whether the array has ended."""
        self.problem = ""
        """What is wrong with the file as a whole; after that nothing more is cut."""
        self.line, self._column = 1, 1
        """Where the bytes end that were taken."""
        self._count = self._depth = 0
        self._is_in_string = self._is_escaped = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._start = (1, 1)
        """Where the held bytes begin."""

    def elements(self, content: bytes) -> Iterator[_Element]:
        """Yield the elements that end in the next bytes."""
        start = place = 0
        while not self.is_at_end:
            place = self._next_mark(content, place)
            if place == len(content):
                self._hold(content[start:])
                return
            mark, place = content[place : place + 1], place + 1
            if mark in b"[{":
                self._depth += 1
                if self._depth == 1:
                    self._take(content[:place])
                    start = place
                continue
            if mark != b",":
                self._depth -= 1
                if self._depth:
                    continue
                self.is_at_end = True
            if element := self._ended(content[start : place - 1], mark, place):
                yield element
            start = place
        self._check_rest(content[start:])

    def _next_mark(self, content: bytes, place: int) -> int:
        """Return where the next bracket or dividing comma is; the end where there is none."""
        if not self._depth:
            found = content.find(b"[", place)
            return len(content) if found < 0 else found
        while True:
            if self._is_in_string:
                place = self._string_end(content, place)
            whole = (_BETWEEN if self._depth == 1 else _INSIDE).match(content, place)
            place = place if whole is None else whole.end()
            if content[place : place + 1] != b'"':
                return place
            self._is_in_string, place = True, place + 1

    def _string_end(self, content: bytes, place: int) -> int:
        """Return where the open string has ended; the end of the bytes where it has not."""
        found = _REST.match(content, place + self._is_escaped)
        end = len(content) if found is None else found.end()
        last = content[end : end + 1]
        self._is_escaped = last == b"\\"  # the byte that it escapes is still to come
        self._is_in_string = last != b'"'
        return len(content) if self._is_in_string else end + 1

    def _ended(self, part: bytes, mark: bytes, end: int) -> _Element | None:
        """Return the element that ends with a part and before a mark; None of an array that has none there."""
        self._hold(part)
        is_too_long = self._held_bytes > MAX_LINE_BYTES
        content = TOO_LONG if is_too_long else b"".join(self._held).rstrip(_SPACE)
        line, column = self._start if self._held_bytes else (self.line, self._column)
        self._held, self._held_bytes = [], 0
        self._take(mark)
        if mark == b"}":
            self.problem = f"a }} has no partner (line {self.line})"
        if not content and mark != b",":
            return None  # an empty array, or a comma after the last element
        self._count += 1
        return _Element(self._count - 1, content, line, column, end)

    def _hold(self, part: bytes) -> None:
        if not self._held_bytes:
            bare = part.lstrip(_SPACE)
            self._take(part[: len(part) - len(bare)])
            part, self._start = bare, (self.line, self._column)
        self._take(part)
        self._held_bytes += len(part)
        if self._held_bytes > MAX_LINE_BYTES:
            self._held.clear()
        elif part:
            self._held.append(part)

    def _take(self, part: bytes) -> None:
        self.line, self._column = _after(part, self.line, self._column)

    def _check_rest(self, rest: bytes) -> None:
        if rest.strip(_SPACE) and not self.problem:
            line, _ = _after(rest[: len(rest) - len(rest.lstrip(_SPACE))], self.line, 1)
            self.problem = f"something follows the end of its array (line {line}); write one array, or JSON Lines"


def _after(part: bytes, line: int, column: int) -> tuple[int, int]:
    """Return line and column after some bytes."""
    ends = part.count(b"\n")
    return line + ends, len(part) - part.rfind(b"\n") if ends else column + len(part)


def _row(element: _Element, number: int, reading: Reading) -> Row:
    source = f"{reading.file.name}: element {element.number} (line {element.line})"
    folder = reading.file.folder
    try:
        value = exact(element.content)
    except orjson.JSONDecodeError as error:
        return Row(number, nearly_json(element.content), source, _problem(element, error), folder)
    if isinstance(value, str) and is_sound(value):
        value = {COLUMN: value}
    if isinstance(value, dict):
        return Row(number, value, source, None, folder)
    return Row(number, None, source, f"is {kind_of(value)}; must be an object or a string", folder)


def _problem(element: _Element, error: orjson.JSONDecodeError) -> str:
    if not element.content:
        return "is missing: nothing stands before its comma"
    line, column = element.line + error.lineno - 1, error.colno
    column += element.column - 1 if error.lineno == 1 else 0
    return not_json(element.content, error, f"line {line}, column {column}")
