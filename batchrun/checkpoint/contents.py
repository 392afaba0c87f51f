"""What stored outcomes say: checked by their checksums, and unpacked."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from batchrun.checkpoint.checks import are_outcomes
from batchrun.checkpoint.checksums import changed
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.packing import Unpacker, read_dictionaries, size_of
from batchrun.checkpoint.tables import OUTCOME_COLUMNS
from batchrun.records import OutcomeColumns

_BODY, _DICTIONARY = map(OUTCOME_COLUMNS.index, ("body", "dictionary"))

_ALL = f"SELECT {', '.join(OUTCOME_COLUMNS)} FROM outcomes ORDER BY id"

_AT_ONCE = 1000

_MOST_NAMED = 20
"""How many rows a message names."""


class Contents:
    """The contents of one checkpoint's outcomes."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._unpacker = Unpacker(read_dictionaries(connection))

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> OutcomeColumns:
        """Return rows of `outcomes` by column, without what only their storage needs.

        Raises:
            DamagedError: one of them is not what was stored, or cannot be unpacked.
        """
        if not are_outcomes(rows):
            wrong = next(row for row in rows if not are_outcomes([row]))
            raise damaged(self._path, f"the outcome of row {wrong[0] >> 24} has values that no outcome has")
        columns: OutcomeColumns = dict(zip(OUTCOME_COLUMNS, zip(*rows, strict=True), strict=True))
        if changed(columns):
            raise damaged(self._path, changed_text(self._changed_rows()))
        del columns["checksum"]
        columns["body"] = self.bodies(columns["body"], columns.pop("dictionary"))
        return columns

    def bodies(self, bodies: Sequence[bytes | None], dictionaries: Sequence[int | None]) -> list[bytes | None]:
        """Return bodies as they were received, given the numbers of their dictionaries.

        Raises:
            DamagedError: one of them cannot be unpacked.
        """
        try:
            return self._unpacker.unpack_all(bodies, dictionaries)
        except ValueError as problem:
            raise damaged(self._path, str(problem)) from problem

    def _changed_rows(self) -> list[int]:
        """Return all rows that are not what was stored. Reads every row."""
        rows: list[int] = []
        cursor = self._connection.execute(_ALL)
        while some := cursor.fetchmany(_AT_ONCE):
            some = [each for each in some if are_outcomes([each])]
            places = changed(dict(zip(OUTCOME_COLUMNS, zip(*some, strict=True), strict=True))) if some else []
            rows += [some[place][0] >> 24 for place in places]
        return rows


def stored_size(outcome: Sequence[Any]) -> int:
    """Return how long the body of a row of `outcomes` is when it is unpacked."""
    return size_of(outcome[_BODY], outcome[_DICTIONARY])


def changed_text(rows: Iterable[int]) -> str:
    """Return which rows have changed, for a message."""
    numbers = list(dict.fromkeys(rows))
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    what = "the answer of row" if len(numbers) == 1 else "the answers of rows"
    return f"{what} {named}{more} changed on the disk: the checksum is wrong"
