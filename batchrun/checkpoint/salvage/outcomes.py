"""The outcomes that a salvage finds: which of them are taken, where they get their place, and which have changed."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from batchrun.checkpoint.checks import is_answer, is_outcome
from batchrun.checkpoint.checksums import changed
from batchrun.checkpoint.contents import changed_text
from batchrun.checkpoint.packing import LABEL, Unpacker, sound, write_dictionary
from batchrun.checkpoint.replies import PLACES, ReplyReader, sound_reply, stored
from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.salvage.shapes import Table, table_of
from batchrun.checkpoint.tables import KEY_BYTES, OUTCOME_COLUMNS

_ID, _KEY, _KIND, _FINISHED, _BODY, _DICTIONARY, _REPLY = map(
    OUTCOME_COLUMNS.index, ("id", "key", "kind", "finished_at_ms", "body", "dictionary", "reply")
)

_MARKS = ", ".join("?" * len(OUTCOME_COLUMNS))

_INSERT_RETIRED = f"INSERT OR IGNORE INTO retired (rowid, {', '.join(OUTCOME_COLUMNS)}) VALUES (?, {_MARKS})"
"""With the rowid, under which the table of origins knows a retired outcome."""

_RETIRE_DOUBTFUL = """
DELETE FROM doubtful WHERE (key, finished_at_ms) IN (SELECT key, finished_at_ms FROM outcomes);
DELETE FROM doubtful WHERE (key, finished_at_ms) IN (SELECT key, finished_at_ms FROM retired);
DELETE FROM doubtful WHERE rowid NOT IN (SELECT min(rowid) FROM doubtful GROUP BY key, finished_at_ms);
INSERT INTO retired SELECT * FROM doubtful;
DROP TABLE doubtful;
"""

_HOLD = f"INSERT INTO sharing VALUES (?, ?, {_MARKS})"
_HELD = "SELECT * FROM sharing ORDER BY rowid"

_DROP_UNUSED = f"""
DELETE FROM replies WHERE id NOT IN (
    SELECT reply / {PLACES} FROM outcomes WHERE reply IS NOT NULL
    UNION ALL SELECT reply / {PLACES} FROM retired WHERE reply IS NOT NULL
)
"""


class FoundOutcomes:
    """Fills the outcomes of a new checkpoint."""

    def __init__(self, connection: sqlite3.Connection, file: DamagedFile) -> None:
        """Find what bodies are packed with, before any of them is read.

        Args:
            connection: to the new checkpoint.
            file: the damaged one.
        """
        self._connection = connection
        self._changed: set[int] = set()
        connection.execute("CREATE TEMP TABLE doubtful AS SELECT * FROM outcomes")
        found = (each for each in file.holding(LABEL.encode()) if table_of(*each) == "dictionaries")
        dictionaries = sound(each.values[2:] for each in found)
        self._unpacker = Unpacker(dictionaries)
        self._replies = ReplyReader(connection)
        connection.execute("CREATE TEMP TABLE sharing AS SELECT 0 AS place, 0 AS is_current, * FROM outcomes")
        for number, content in dictionaries.items():
            write_dictionary(connection, number, content)

    def take(self, table: Table, rowid: int, values: list[Any], is_current: bool) -> None:
        """Keep an outcome, if it is sound, or a reply; an outcome that shares a reply waits until all are found."""
        if table == "replies":
            self._take_reply(rowid, values)
            return
        values += [None] * (len(OUTCOME_COLUMNS) - len(values))  # of an older version
        if not is_outcome([rowid if values[_ID] is None else values[_ID], *values[1:]]):
            return
        if values[_REPLY] is None:
            self._take(rowid, values, is_current)
        else:
            self._connection.execute(_HOLD, (rowid, is_current, *values))

    def complete(self) -> None:
        """Take what shares replies; then retire what is doubtful. Call it after the last one was taken."""
        for rowid, is_current, *values in self._connection.execute(_HELD):
            self._take(rowid, values, bool(is_current))
        self._connection.execute("DROP TABLE sharing")
        self._retire_doubtful()
        self._connection.execute(_DROP_UNUSED)

    def _take_reply(self, rowid: int, values: Sequence[Any]) -> None:
        """Keep a reply whose frame is sound; of two with one number, the first."""
        if sound_reply(values[1:]) is not None:
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?)", (rowid, *values[1:]))

    def _take(self, rowid: int, values: list[Any], is_current: bool) -> None:
        was_retired = values[_ID] is not None
        columns = values if was_retired else [rowid, *values[1:]]
        if not self._is_sound(columns):
            if is_current and not was_retired:
                self._changed.add(columns[_ID])
        elif is_current and was_retired:
            self._connection.execute(_INSERT_RETIRED, (rowid, *columns))
        elif len(columns[_KEY]) < KEY_BYTES:
            return  # only what was retired for good has no key
        elif is_current:
            self._settle(columns)
        elif columns[_KIND] is None:
            self._insert("doubtful", columns)

    def _retire_doubtful(self) -> None:
        """Retire the outcomes whose place is in doubt."""
        for statement in _RETIRE_DOUBTFUL.split(";"):  # executescript would commit
            self._connection.execute(statement)

    def unpacked(self, body: bytes | None, dictionary: int | None) -> bytes | None:
        """Return a body as it was received; None where it cannot be unpacked."""
        try:
            [unpacked] = self._unpacker.unpack_all([body], [dictionary])
        except ValueError:
            return None
        return unpacked

    def changed_text(self) -> str | None:
        """Return which rows are lost because their answers have changed; None if there are none."""
        query = "SELECT 1 FROM outcomes WHERE id = ?"
        lost = [each for each in sorted(self._changed) if self._connection.execute(query, (each,)).fetchone() is None]
        return f"{changed_text(each >> 24 for each in lost)}; left out" if lost else None

    def are_unchecked(self) -> bool:
        """Return whether there are outcomes without a checksum."""
        query = "SELECT EXISTS (SELECT 1 FROM outcomes WHERE checksum IS NULL)"
        return bool(self._connection.execute(query).fetchone()[0])

    def _is_sound(self, columns: Sequence[Any]) -> bool:
        """Return whether an outcome is what was stored and, if it is completed, has an answer."""
        shared = self._replies.sharing([columns[_REPLY]])
        own = [columns[_BODY]]
        if changed({name: [value] for name, value in zip(OUTCOME_COLUMNS, columns, strict=True)}, stored(own, shared)):
            return False
        if shared is not None:
            return shared.are_found and columns[_KIND] is None
        body = self.unpacked(columns[_BODY], columns[_DICTIONARY])
        return is_answer(body) if columns[_KIND] is None else (body is None) == (columns[_BODY] is None)

    def _settle(self, columns: list[Any]) -> None:
        """Give an outcome its place; if another has it, the later of the two gets it."""
        if self._insert("outcomes", columns):
            return
        run = self._connection.execute
        place = (columns[_ID],)
        (finished_at_ms,) = run("SELECT finished_at_ms FROM outcomes WHERE id = ?", place).fetchone()
        if columns[_FINISHED] > finished_at_ms:
            run("INSERT INTO doubtful SELECT * FROM outcomes WHERE id = ? AND kind IS NULL", place)
            run(f"INSERT OR REPLACE INTO outcomes VALUES ({_MARKS})", columns)
        elif columns[_KIND] is None:
            self._insert("doubtful", columns)

    def _insert(self, table: str, columns: Sequence[Any]) -> bool:
        statement = f"INSERT OR IGNORE INTO {table} VALUES ({_MARKS})"
        return self._connection.execute(statement, columns).rowcount > 0
