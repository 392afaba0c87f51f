"""Reads stored outcomes in order, in pieces of bounded size, by column.

Theory of operation. In most runs most columns have one value in nearly all rows: the status, the attempts, everything
about failures. To hand a value over from SQLite to Python takes three times as long as to compare it there. So the
columns that had one value in the piece before are only compared, all in one expression; the rows in which one of them
differs are read once more, whole. If they are many, the next piece is read whole, and what is usual is found in it.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from operator import lt
from typing import Any

import orjson

from batchrun.checkpoint.tables import OUTCOME_COLUMNS
from batchrun.records import OutcomeColumns

_ROWS = 2048
PIECE_BYTES = 4 << 20
"""Most outcomes, and about as many bytes of answers, that are read at once: large enough to make Arrow's cost per call
negligible, small compared with a row group."""

_STEP = 64
"""Most rows that are read between two looks at their size; fewer where the rows before were so large that these few
may be a fourth of a piece."""

_OWN = ("id", "body")
"""Columns that are always read: by the first the next piece is found, by the second the piece is bounded."""

_LEAST = 256
"""Rows of a piece from which what is usual can be learned."""

_UNUSUAL_PART = 16
"""At most one row of so many may differ where a value is the usual one."""


class Piece:
    """Consecutive outcomes as they are stored."""

    def __init__(self, rows: int, columns: Mapping[str, Sequence[Any]], repeated: Mapping[str, Any]) -> None:
        self.rows = rows
        self._columns, self._repeated = columns, repeated

    def samples(self) -> Iterator[Sequence[Any]]:
        """Yield the values of each column, in their order; one of them where all rows have the same."""
        for name in OUTCOME_COLUMNS:
            yield self._columns[name] if name in self._columns else [self._repeated[name]]

    def columns(self) -> OutcomeColumns:
        """Return the values of each column, in their order."""
        return {
            name: self._columns[name] if name in self._columns else [self._repeated[name]] * self.rows
            for name in OUTCOME_COLUMNS
        }


class Scan:
    """Reads the outcomes of one checkpoint."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._usual: dict[str, Any] = {}
        """The columns that had one value in nearly all rows of the last piece, and that value."""
        self._step = 1

    def pieces(self, first: int, end: int, *, is_failed: bool = False) -> Iterator[Piece]:
        """Yield the outcomes whose ids are in [first, end), in their order, in pieces of at least one.

        Args:
            first: the first id.
            end: the id after the last.
            is_failed: only failures.

        Raises:
            sqlite3.DatabaseError: their ids are not in order: a damaged one would have rows read again, without end.
        """
        failed = " AND kind IS NOT NULL" if is_failed else ""
        while (rows := self._rows(f"id >= ? AND id < ?{failed}", (first, end))) is not None:
            names, read = rows
            columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*read, strict=True), strict=True))
            ids = columns["id"]
            if ids[0] < first or not all(map(lt, ids, ids[1:])):
                raise sqlite3.DatabaseError("its rows are not in the order of their numbers")
            piece = self._piece(len(read), columns)
            first = ids[-1] + 1
            yield piece

    def _rows(self, wanted: str, bounds: tuple[int, int]) -> tuple[list[str], list[tuple[Any, ...]]] | None:
        """Return the next rows and the names of their columns; None where there are no more."""
        names = [name for name in OUTCOME_COLUMNS if name not in self._usual]
        is_usual = " AND ".join(f"{name} IS ?" for name in self._usual) or "1"  # our own names
        query = f"SELECT {', '.join(names)}, {is_usual} FROM outcomes WHERE {wanted} ORDER BY id"
        cursor = self._connection.execute(query, (*self._usual.values(), *bounds))
        rows: list[tuple[Any, ...]] = []
        size, body = 0, names.index("body")
        while (
            len(rows) < _ROWS and size < PIECE_BYTES and (some := cursor.fetchmany(min(self._step, _ROWS - len(rows))))
        ):
            rows += some
            some_bytes = sum([len(each[body]) for each in some if each[body].__class__ is bytes])
            self._step = min(_STEP, len(some) * PIECE_BYTES // (4 * some_bytes + 1) + 1)
            size += some_bytes
        cursor.close()
        return ([*names, _IS_USUAL], rows) if rows else None

    def _piece(self, rows: int, columns: dict[str, Sequence[Any]]) -> Piece:
        are_usual = columns.pop(_IS_USUAL)
        usual = self._usual
        unusual = [] if are_usual.count(1) == rows else [place for place, each in enumerate(are_usual) if not each]
        if unusual:
            columns |= self._whole(unusual, columns["id"], rows)
        if len(unusual) * _UNUSUAL_PART > rows:
            self._usual = {}
        elif rows >= _LEAST:
            self._usual = usual | {
                name: values[rows // 2]
                for name, values in columns.items()
                if name not in _OWN and (rows - values.count(values[rows // 2])) * _UNUSUAL_PART <= rows
            }
        return Piece(rows, columns, usual)

    def _whole(self, places: Sequence[int], ids: Sequence[int], rows: int) -> dict[str, Sequence[Any]]:
        """Return the columns with usual values, as some rows of a piece have others."""
        query = (
            f"SELECT {', '.join(self._usual)} FROM outcomes WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        listed = orjson.dumps([ids[place] for place in places]).decode()
        found = zip(*self._connection.execute(query, (listed,)), strict=True)
        columns: dict[str, Sequence[Any]] = {}
        for (name, value), others in zip(self._usual.items(), found, strict=True):
            column = columns[name] = [value] * rows
            for place, other in zip(places, others, strict=True):
                column[place] = other
        return columns


_IS_USUAL = "is_usual"
"""Stands for a column, after the others: whether the row has all usual values."""
