"""The rows of plain text: every line is a prompt."""

from typing import BinaryIO

from batchrun.errors import InputError
from batchrun.prompts.input.diagnosis import other_content, refuse_other_kinds
from batchrun.prompts.input.lines import TOO_LONG, blocks
from batchrun.prompts.input.parts import TOO_LONG_PROBLEM, Part, Reading, Rows, wanted
from batchrun.records import Row

COLUMN = "prompt"
"""The only column."""


def text_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield one row for each line, with the line as its prompt. Blank lines are not rows.

    Raises:
        InputError: the file holds JSON or a table, whose lines are not prompts.
    """
    file, number = reading.file, reading.first

    def check(head: bytes) -> None:
        refuse_other_kinds(head, file.name, file.for_commands)
        if what := other_content(head, file.for_commands):
            raise InputError(f"{file.name}: {what}")

    for block in blocks(raw, check, file.encoding):
        if number + len(block.lines) <= reading.wanted:
            number += block.filled
            yield Part([], number, block.end_bytes)
            continue
        for start in range(0, len(block.lines), reading.batch_rows):
            lines = block.lines[start : start + reading.batch_rows]
            line = block.number + start
            rows = []
            for line_number, content in enumerate(lines, line):
                if content and not content.isspace():
                    rows.append(_row(content, number, f"{file.name}:{line_number}", file.folder))
                    number += 1
            yield Part(wanted(rows, reading), number, block.bytes_before(line + len(lines)))


def _row(line: bytes, number: int, source: str, folder: str) -> Row:
    try:
        return Row(number, {COLUMN: line.decode().removesuffix("\r")}, source, None, folder)
    except UnicodeDecodeError as problem:
        reason = TOO_LONG_PROBLEM if line is TOO_LONG else f"is not UTF-8 (byte {problem.start + 1})"
        return Row(number, None, source, reason, folder)
