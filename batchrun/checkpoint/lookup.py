"""Which rows are settled already: asked by the thread that reads the input, on a connection of its own."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from batchrun.checkpoint.facts import Fact
from batchrun.checkpoint.file import translated
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.reader import read_fact
from batchrun.checkpoint.tables import Asked, pack
from batchrun.checkpoint.twins import Twins

A = TypeVar("A", bound=Asked)
T = TypeVar("T")


class ChangedRow(Exception):  # caught by the store, which notes it
    """A row was settled with another content."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class Lookup:
    """The outcomes that were there when the checkpoint was opened."""

    def __init__(self, path: Path, models: ModelNumbers) -> None:
        self._path, self._models = path, models
        self._lock = threading.Lock()  # SQLite crashes where a connection is closed that another thread is using
        self._ends_at = 0

    def load(self, connection: sqlite3.Connection) -> None:
        """Ask this connection from now on."""
        self.connection = connection
        self.reload()

    def reload(self) -> None:
        """Find the end of the outcomes again, after a change to them."""
        (last,) = self.connection.execute("SELECT max(id) FROM outcomes").fetchone()
        self._ends_at = 0 if last is None else (last >> 24) + 1

    def close(self) -> None:
        """Close the connection, when no other thread is using it."""
        with self._lock:
            self.connection.close()

    @property
    def ends_at(self) -> int:
        """No outcome has this row or a later one."""
        return self._ends_at

    def fact(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None where it was not noted."""
        with self._lock, translated(self._path):
            return read_fact(self.connection, fact)

    def settled(self, first: int, end: int, per_row: int) -> set[int]:
        """Return which of the rows from `first` to below `end` have at least `per_row` outcomes."""
        if first >= self._ends_at:
            return set()
        query = "SELECT id >> 24, count(*) FROM outcomes WHERE id >= ? AND id < ? GROUP BY 1"
        with self._lock, translated(self._path):
            counts = self.connection.execute(query, (pack(first, 0, 0), pack(end, 0, 0))).fetchall()
        return {row for row, count in counts if count >= per_row}

    def unsettled(self, batch: Sequence[A]) -> list[A]:
        """Return the requests of a batch, in input order, that have no outcome yet.

        Raises:
            ChangedRow: one was settled with another content.
        """
        if not batch or batch[0].row >= self._ends_at:
            return list(batch)
        bounds = pack(batch[0].row, 0, 0), pack(batch[-1].row + 1, 0, 0)
        with self._lock, translated(self._path):
            settled = dict(self.connection.execute("SELECT id, key FROM outcomes WHERE id >= ? AND id < ?", bounds))
        left = []
        for each in batch:
            key = settled.get(self._models.id_of(each))
            if key is None:
                left.append(each)
            elif key != each.key:
                raise ChangedRow(each.row)
        return left

    def firsts(self, batch: Sequence[A], twins: Twins) -> list[A]:
        """Return the requests of a batch that are to be sent; the others ask the same as an earlier one."""
        with self._lock, translated(self._path):
            return twins.firsts(batch, self._models.id_of, self.connection)
