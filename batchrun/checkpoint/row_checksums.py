"""The checksums of all rows but those of answers, by which a byte that has changed on the disk is noticed.

Theory of operation. Facts, names, totals, batches and the history of a run are small tables, whose rows are inserted
and updated by many statements. None of these knows of checksums: a connection that writes has triggers that keep them,
in a table of their own. The triggers are temporary, so that any program can read the file. Every table has them but
those that have about as many rows as the run, so that a new one is not forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from batchrun.checkpoint.facts import named

if TYPE_CHECKING:  # the shapes of rows need the tables, and no database
    import sqlite3

TABLE = """
CREATE TABLE row_checksums (     -- of the rows of small tables: CRC-32
    of_table TEXT NOT NULL,
    id NOT NULL,                 -- of the row: its key, else its rowid
    checksum INTEGER NOT NULL,
    PRIMARY KEY (of_table, id)
) WITHOUT ROWID
"""

_NOT_SMALL = (
    *("outcomes", "retired", "replies", "dictionaries"),  # have checksums of their own
    *("origins", "batch_lines", "batch_answers"),
    "row_checksums",
)
"""A checksum of each row would take more room and time than these rows are worth."""

_WHOLE = 1 << 53
"""Up to here a whole number is the same as an integer and as a float. SQLite stores it as an integer."""

_MOST_NAMED = 5
"""How many rows a message names."""


class RowName(NamedTuple):
    """Which row of a small table it is."""

    table: str
    id: Any
    """Its key, else its rowid."""

    def __str__(self) -> str:
        if self.table != "facts":
            return f"row {self.id} of its table {self.table}"
        return f"the fact {self.id} ({named(str(self.id)).meaning})"


class _Small(NamedTuple):
    """A small table."""

    name: str
    key: str
    """Column, or rowid."""
    columns: tuple[str, ...]

    def checksum(self, row: str) -> str:
        """Return the expression for the checksum of a row, whose columns are named with this prefix."""
        values = (f"{row}{name}" for name in self.columns)
        # As bytes: a text that is not valid Unicode any more could not be given to Python.
        as_bytes = (f"iif(typeof({value}) = 'text', CAST({value} AS BLOB), {value})" for value in values)
        return f"row_checksum({row}{self.key}, {', '.join(as_bytes)})"


def row_checksum(key: Any, *values: Any) -> int:
    """Return the checksum of a row, given its key and its columns as SQLite stores them; texts may be bytes."""
    return crc32(repr([*map(_as_stored, (key, *values))]).encode())


def _as_stored(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE else value


def keep(connection: sqlite3.Connection) -> None:
    """Have a connection keep the checksums of the rows that it writes."""
    _define(connection)
    for each in _small_tables(connection):
        drop = f"DELETE FROM row_checksums WHERE of_table = '{each.name}' AND id = "
        add = f"INSERT INTO row_checksums VALUES ('{each.name}', NEW.{each.key}, {each.checksum('NEW.')})"
        for event, body in {
            "INSERT": f"{drop} NEW.{each.key}; {add}",
            "UPDATE": f"{drop} OLD.{each.key}; {drop} NEW.{each.key}; {add}",
            "DELETE": f"{drop} OLD.{each.key}",
        }.items():
            trigger = f"CREATE TEMP TRIGGER {event}_{each.name} AFTER {event} ON main.{each.name}"
            connection.execute(f"{trigger} BEGIN {body}; END")  # our own names, as in all statements of this file


def fill(connection: sqlite3.Connection) -> None:
    """Compute all checksums from the rows, in the open transaction: after a migration."""
    _define(connection)
    connection.execute("DELETE FROM row_checksums")
    for each in _small_tables(connection):
        connection.execute(
            f"INSERT INTO row_checksums SELECT '{each.name}', {each.key}, {each.checksum('')} FROM {each.name}"
        )


def changed_rows(connection: sqlite3.Connection) -> list[RowName]:
    """Return the rows that are not what was stored, and those that are gone; none of a file without these checksums.

    A row that has no checksum is not looked at.
    """
    if not _has_checksums(connection):
        return []
    _define(connection)
    small = _small_tables(connection)
    found = [
        f"SELECT of_table, noted.id FROM row_checksums AS noted LEFT JOIN {each.name} AS its ON its.{each.key} = "
        f"noted.id WHERE of_table = '{each.name}' AND (its.{each.key} IS NULL OR noted.checksum <> "
        f"{each.checksum('its.')})"
        for each in small
    ]
    names = ", ".join(f"'{each.name}'" for each in small)
    found.append(f"SELECT of_table, id FROM row_checksums WHERE of_table NOT IN ({names})")
    return [RowName(*row) for row in connection.execute(" UNION ALL ".join(found))]


def names_of(rows: list[RowName]) -> str:
    """Return which rows these are, for a message."""
    more = f" and {len(rows) - _MOST_NAMED:,} more" if len(rows) > _MOST_NAMED else ""
    return f"{', '.join(map(str, rows[:_MOST_NAMED]))}{more}"


def _define(connection: sqlite3.Connection) -> None:
    connection.create_function("row_checksum", -1, row_checksum, deterministic=True)


def _has_checksums(connection: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM main.sqlite_schema WHERE name = 'row_checksums'"
    return bool(connection.execute(query).fetchone()[0])


def _small_tables(connection: sqlite3.Connection) -> list[_Small]:
    query = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    names = [name for (name,) in connection.execute(query).fetchall() if name not in _NOT_SMALL]
    return [_small(connection, name) for name in names]


def _small(connection: sqlite3.Connection, table: str) -> _Small:
    columns = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    keys = [name for _, name, *_, place_in_key in columns if place_in_key]
    return _Small(table, keys[0] if len(keys) == 1 else "rowid", tuple(name for _, name, *_ in columns))
