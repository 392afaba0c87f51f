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
from batchrun.checkpoint.scan import PIECE_BYTES, Scan
from batchrun.checkpoint.tables import OUTCOME_COLUMNS
from batchrun.records import OutcomeColumns

_ALL = f"SELECT {', '.join(OUTCOME_COLUMNS)} FROM outcomes ORDER BY id"

_AT_ONCE = 1000

_LEAST_ROWS = 64
"""Rows that share replies are apart from others, unless there are fewer."""

_MOST_NAMED = 20
"""How many rows a message names."""


class Contents:
    """The contents of one checkpoint's outcomes."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._unpacker = Unpacker(read_dictionaries(connection))
        self._replies = ReplyReader(connection)
        self._scan = Scan(connection)

    def pieces(
        self, first: int, end: int, *, is_failed: bool = False, left_out: set[int] | None = None
    ) -> Iterator[OutcomeColumns]:
        """Yield what outcomes say, by column, in pieces that are bounded when they are unpacked; see `Scan.pieces`.

        Args:
            first: id from which on.
            end: id below which.
            is_failed: only failures.
            left_out: gets the ids of outcomes that are not what was stored, which are left out; None: they are refused.

        Raises:
            DamagedError: one of them is not what was stored, or cannot be unpacked.
        """
        for piece in self._scan.pieces(first, end, is_failed=is_failed):
            columns, samples = piece.columns(), piece.samples()
            if left_out is not None:
                columns = self._sound(columns, left_out)
                if not columns:
                    continue
                samples = iter(columns.values())
            self._check(samples, columns)
            for start, stop in self._parts(columns):
                some = (
                    {name: values[start:stop] for name, values in columns.items()}
                    if stop - start < piece.rows
                    else columns
                )
                yield self._read(some)

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> OutcomeColumns:
        """Return what rows of `outcomes` say, by column, likewise."""
        columns: OutcomeColumns = dict(zip(OUTCOME_COLUMNS, zip(*rows, strict=True), strict=True))
        self._check(columns.values(), columns)
        return self._read(columns)

    def _check(self, samples: Iterable[Sequence[Any]], columns: OutcomeColumns) -> None:
        """Check that rows are outcomes; `samples` has the columns too, with one value where all have the same."""
        if not are_outcomes(samples):
            wrong = next(row for row in zip(*columns.values(), strict=True) if not are_outcomes(zip(row)))
            raise damaged(self._path, f"the outcome of row {wrong[0] >> 24} has values that no outcome has")

    def _read(self, columns: OutcomeColumns) -> OutcomeColumns:
        """Return what the rows say of which these are the columns, without what only their storage needs."""
        shared = self._replies.sharing(columns.pop("reply"))
        if changed(columns, stored(columns["body"], shared)):
            raise damaged(self._path, changed_text(self._changed_rows()))
        del columns["checksum"]
        columns["body"] = self.bodies(columns["body"], columns.pop("dictionary"))
        if shared is not None:
            columns["body"] = self._shared_bodies(shared, columns)
        return columns

    def _parts(self, columns: OutcomeColumns) -> Iterator[tuple[int, int]]:
        """Yield the first place of each part of some rows, and the place after its last.

        Rows are bounded as they are stored; the parts are so when they are unpacked. Rows that share replies are apart
        from others, unless there are few.
        """
        references, rows = columns["reply"], len(columns["id"])
        packed = [
            body for body, number in zip(columns["body"], columns["dictionary"], strict=True) if number is not None
        ]
        if references.count(None) == rows and unpacked_bytes(packed) < PIECE_BYTES:  # nearly always
            yield 0, rows
            return
        start, size, before = 0, 0, references[0]
        for place, (reference, body, number) in enumerate(
            zip(references, columns["body"], columns["dictionary"], strict=True)
        ):
            is_change = (reference is None) != (before is None) and place - start >= _LEAST_ROWS
            if place > start and (size >= PIECE_BYTES or is_change):
                yield start, place
                start, size = place, 0
            size += size_of(body, number) if reference is None else self._replies.vector_bytes(reference // PLACES)
            before = reference
        yield start, rows

    def _sound(self, columns: OutcomeColumns, left_out: set[int]) -> OutcomeColumns:
        """Return the columns of those rows that are what was stored, of none no columns; note the ids of the others."""
        rows = [*zip(*columns.values(), strict=True)]
        right = rows if are_outcomes(columns.values()) else [row for row in rows if are_outcomes(zip(row))]
        wrong = {*self._changed(right)} if right else set()
        kept = [row for place, row in enumerate(right) if place not in wrong]
        if len(kept) == len(rows):
            return columns
        left_out |= {row[0] for row in rows} - {row[0] for row in kept}
        return dict(zip(OUTCOME_COLUMNS, zip(*kept, strict=True), strict=True)) if kept else {}

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


def left_out_text(left_out: Iterable[int], directory: Path) -> str:
    """Return which rows are left out where only some are read, for a message.

    Args:
        left_out: the ids of damaged outcomes.
        directory: of the run.
    """
    what = changed_text(number >> 24 for number in sorted(left_out))
    return f"{what}; left out here. Recover the others: batchrun export {directory} --salvage"


def changed_text(rows: Iterable[int]) -> str:
    """Return which rows have changed, for a message."""
    numbers = list(dict.fromkeys(rows))
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    what = "the answer of row" if len(numbers) == 1 else "the answers of rows"
    return f"{what} {named}{more} changed on the disk: the checksum is wrong"
