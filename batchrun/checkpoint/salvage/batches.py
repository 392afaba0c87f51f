"""The batches that a salvage finds, and which requests are in them: forgotten, they would be bought again."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from batchrun.checkpoint.batch_tables import COLLECTED, STEPS, TABLES
from batchrun.checkpoint.tables import insert_many

_STEP, _BATCH = 3, 1
"""Places of columns."""


class FoundBatches:
    """Fills the tables of batches of a new checkpoint, if there were any."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._batches: dict[int, Sequence[Any]] = {}
        self._lines: dict[int, Sequence[Any]] = {}
        self._answers: dict[int, Sequence[Any]] = {}

    def take(self, table: str, values: Sequence[Any]) -> None:
        """Keep a row of a table, as it was last: an older version of it may hide that a batch was created."""
        if table == "batch_answers":
            self._answers.setdefault(values[0], values)
        elif table == "batch_lines":
            self._lines.setdefault(values[0], values)
        elif values[_STEP] in STEPS:
            self._batches.setdefault(values[0], values)

    def put(self) -> None:
        """Write what was found. A line of a batch that is lost waits for the next one."""
        if not self._batches and not self._lines and not self._answers:
            return
        for statement in TABLES:
            self._connection.execute(statement)
        insert_many(self._connection, "batches", [tuple(row) for _, row in sorted(self._batches.items())])
        insert_many(self._connection, "batch_answers", [tuple(row) for _, row in sorted(self._answers.items())])
        open_ones = {number for number, row in self._batches.items() if row[_STEP] != COLLECTED}
        lines = (
            (line[0], line[_BATCH] if line[_BATCH] in open_ones else 0, *line[2:])
            for _, line in sorted(self._lines.items())
        )
        insert_many(self._connection, "batch_lines", list(lines))

    @property
    def has_any(self) -> bool:
        """Whether requests may be in a batch that is not collected."""
        return bool(self._lines) or any(row[_STEP] != COLLECTED for row in self._batches.values())
