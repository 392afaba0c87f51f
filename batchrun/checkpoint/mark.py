"""The mark of the settled rows: every row below it is settled, so that a resumed run need not read these again.

Once a second the writer counts the outcomes of the next thousand rows, and moves the mark while none is missing.
"""

import sqlite3

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import read_fact, write_fact
from batchrun.checkpoint.tables import pack

STEP_ROWS = 1024
"""Rows that one step of the mark covers."""

_COUNT = "SELECT count(*) FROM outcomes WHERE id >= ? AND id < ?"


class SettledMark:
    """The mark of one checkpoint."""

    def __init__(self) -> None:
        self.rows = 0
        """Rows from the first on that are all settled, as far as is known without looking at each."""
        self.per_row = 0
        """Outcomes of a settled row: one for each model and sample. 0: not known, and the mark stays."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Read where the mark stands."""
        self.rows = read_fact(connection, facts.SETTLED_ROWS) or 0

    def moved(self, connection: sqlite3.Connection, most_steps: int) -> int:
        """Write how far the mark can move, in the open transaction if there is one; return where it will stand.

        The caller sets `rows` to the returned value once this is committed.
        """
        rows = self.rows
        for _ in range(most_steps if self.per_row else 0):
            (count,) = connection.execute(_COUNT, (pack(rows, 0, 0), pack(rows + STEP_ROWS, 0, 0))).fetchone()
            if count < STEP_ROWS * self.per_row:
                break
            rows += STEP_ROWS
        if rows != self.rows:
            write_fact(connection, facts.SETTLED_ROWS, rows)
        return rows
