"""The batches that a salvage finds, and which requests are in them: forgotten, they would be bought again."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from batchrun.checkpoint.batch_tables import COLLECTED, STEPS
from batchrun.checkpoint.tables import insert_many
from batchrun.records import BatchLine

_STEP = 3
"""Place of a column."""


class FoundBatches:
    """Fills the tables of batches of a new checkpoint."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._batches: dict[int, Sequence[Any]] = {}
        self._lines: dict[tuple[int, int], BatchLine] = {}
        self._answers: dict[int, Sequence[Any]] = {}

    def take(self, table: str, values: Sequence[Any]) -> None:
        """Keep a row of a table, as it was last: an older version of it may hide that a batch was created."""
        if table == "batch_answers":
            self._answers.setdefault(values[0], values)
        elif table == "batch_lines":
            line = BatchLine(*values)
            self._lines.setdefault((line.batch, line.place), line)
        elif values[_STEP] in STEPS:
            self._batches.setdefault(values[0], values)

    def put(self) -> None:
        """Write what was found. A line of a batch that is lost keeps its number: the file of the batch may be there."""
        insert_many(self._connection, "batches", [tuple(row) for _, row in sorted(self._batches.items())])
        insert_many(self._connection, "batch_answers", [tuple(row) for _, row in sorted(self._answers.items())])
        ended = {number for number, row in self._batches.items() if row[_STEP] == COLLECTED}
        lines = [line for _, line in sorted(self._lines.items()) if line.batch not in ended]
        insert_many(self._connection, "batch_lines", lines)

    @property
    def has_any(self) -> bool:
        """Whether requests may be in a batch that is not collected."""
        return bool(self._lines) or any(row[_STEP] != COLLECTED for row in self._batches.values())
