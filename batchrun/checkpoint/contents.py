"""What stored outcomes say: checked by their checksums, and unpacked."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batchrun.checkpoint.checks import are_outcomes
from batchrun.checkpoint.checksums import changed
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.packing import Unpacker, read_dictionaries, size_of, unpacked_bytes
from batchrun.checkpoint.replies import PLACES, ReplyReader, SharingRows, stored
from batchrun.checkpoint.tables import OUTCOME_COLUMNS
from batchrun.records import OutcomeColumns

_BODY, _DICTIONARY, _REPLY = map(OUTCOME_COLUMNS.index, ("body", "dictionary", "reply"))

_ALL = f"SELECT {', '.join(OUTCOME_COLUMNS)} FROM outcomes ORDER BY id"

_AT_ONCE = 1000

_ROWS, _LEAST_ROWS = 2048, 64
_BYTES = 4 << 20
"""Most outcomes, and about as many bytes of answers, that are read at once: large enough to make Arrow's cost per call
negligible, small compared with a row group. Rows that share replies are apart from others, unless there are few."""

_MOST_NAMED = 20
"""How many rows a message names."""


class Contents:
    """The contents of one checkpoint's outcomes."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._unpacker = Unpacker(read_dictionaries(connection))
        self._replies = ReplyReader(connection)

    def pieces(self, outcomes: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows of `outcomes` in lists of bounded length, none empty."""
        rows: list[tuple[Any, ...]] = []
        size, before, row_bytes = 0, None, 0
        for outcome in outcomes:
            reference = outcome[_REPLY]
            if reference is not None or before is not None:
                reply = reference // PLACES if isinstance(reference, int) else None  # what is neither shows later
                if reply != before:
                    if (reply is None or before is None) and len(rows) >= _LEAST_ROWS:
                        yield from _unpacked_pieces(rows)
                        rows, size = [], 0
                    before, row_bytes = reply, 0 if reply is None else self._replies.vector_bytes(reply)
            rows.append(outcome)
            size += row_bytes if before is not None else len(outcome[_BODY] or b"")
            if size >= _BYTES or len(rows) >= _ROWS:
                yield from _unpacked_pieces(rows)
                rows, size = [], 0
        if rows:
            yield from _unpacked_pieces(rows)

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> OutcomeColumns:
        """Return rows of `outcomes` by column, without what only their storage needs.

        Raises:
            DamagedError: one of them is not what was stored, or cannot be unpacked.
        """
        columns: OutcomeColumns = dict(zip(OUTCOME_COLUMNS, zip(*rows, strict=True), strict=True))
        if not are_outcomes(columns.values()):
            wrong = next(row for row in rows if not are_outcomes(zip(row)))
            raise damaged(self._path, f"the outcome of row {wrong[0] >> 24} has values that no outcome has")
        shared = self._replies.sharing(columns.pop("reply"))
        if changed(columns, stored(columns["body"], shared)):
            raise damaged(self._path, changed_text(self._changed_rows()))
        del columns["checksum"]
        columns["body"] = self.bodies(columns["body"], columns.pop("dictionary"))
        if shared is not None:
            columns["body"] = self._shared_bodies(shared, columns)
        return columns

    def _shared_bodies(self, shared: SharingRows, columns: OutcomeColumns) -> Sequence[bytes | None]:
        try:
            return shared.bodies(columns["body"], columns)
        except ValueError as problem:
            raise damaged(self._path, str(problem)) from problem

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
            some = [each for each in some if are_outcomes(zip(each))]
            rows += [some[place][0] >> 24 for place in self._changed(some)] if some else []
        return rows

    def _changed(self, rows: Sequence[tuple[Any, ...]]) -> list[int]:
        columns: OutcomeColumns = dict(zip(OUTCOME_COLUMNS, zip(*rows, strict=True), strict=True))
        shared = self._replies.sharing(columns["reply"])
        return changed(columns, stored(columns["body"], shared))


def _unpacked_pieces(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows that are bounded as they are stored in lists that are so when they are unpacked, too."""
    if unpacked_bytes([row[_BODY] for row in rows if row[_DICTIONARY] is not None]) < _BYTES:
        yield rows
        return
    first, size = 0, 0
    for place, row in enumerate(rows):
        size += size_of(row[_BODY], row[_DICTIONARY])
        if size >= _BYTES:
            yield rows[first : place + 1]
            first, size = place + 1, 0
    if first < len(rows):
        yield rows[first:]


def changed_text(rows: Iterable[int]) -> str:
    """Return which rows have changed, for a message."""
    numbers = list(dict.fromkeys(rows))
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    what = "the answer of row" if len(numbers) == 1 else "the answers of rows"
    return f"{what} {named}{more} changed on the disk: the checksum is wrong"
