"""Counts the rows of files as a run reads them, without making rows: a GB of JSON Lines in about a second.

Run as a program, it reads the files from standard input and prints the number. A run counts in a process of its own:
in a thread it would take the interpreter's lock from the sending.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from batchrun.errors import InputError
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.reader import RowReader

if TYPE_CHECKING:
    from batchrun.prompts.selection import Selection

_NO_ROW = 1 << 62
"""No row has this number: all are passed over."""

_NICENESS = 10
"""How much the process that counts stands back. Source: nice(1), the default."""


def count_rows(
    files: Sequence[InputFile], limit: int | None, is_over: Callable[[], bool], selection: "Selection | None" = None
) -> int | None:
    """Return how many rows a run will read from files; None if a file cannot be read, or nobody waits any more.

    Args:
        files: none of them standard input.
        limit: the most rows that are wanted.
        is_over: whether to give up; asked several times a second.
        selection: chooses the rows that count; all unless given.
    """
    with suppress(InputError):
        if selection is None:
            reader = RowReader(files, limit=limit, first=_NO_ROW)
            return reader.rows_read if _is_read(reader.steps(), is_over) else None
        rows = selection.rows(files, limit)
        return rows.rows_used if _is_read(iter(rows), is_over) else None
    return None


def _is_read(steps: Iterator[object], is_over: Callable[[], bool]) -> bool:
    """Read to the end; return False where nobody waits any more."""
    return not any(is_over() for _ in steps)


def asked(files: Sequence[InputFile], limit: int | None, choice: Mapping[str, Any] | None = None) -> bytes:
    """Return what the program is given on standard input; none of the files may be elsewhere.

    Raises:
        TypeError: a path is not UTF-8.
    """
    return orjson.dumps([[list(file._replace(found=None)) for file in files], limit, choice])


def main() -> None:
    """Count the rows of the files that standard input names; print nothing where they cannot be counted."""
    with suppress(OSError):
        os.nice(_NICENESS)
    parent = os.getppid()
    files, limit, choice = orjson.loads(sys.stdin.buffer.read())
    selection = None
    if choice:
        from batchrun.prompts.selection import Selection  # slow to import

        selection = Selection.of_choice(choice)
    rows = count_rows([InputFile._make(file) for file in files], limit, lambda: os.getppid() != parent, selection)
    if rows is not None:
        sys.stdout.write(str(rows))


if __name__ == "__main__":
    main()
