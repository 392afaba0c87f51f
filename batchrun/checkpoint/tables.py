"""The checkpoint's tables, how an outcome is numbered in them, and how it becomes a row.

`outcomes.id` packs row, model and sample into one integer in that order, so that the primary key alone brings results
back in input order, and appending a row touches one B-tree at its right end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from batchrun.checkpoint import batch_tables, migrations, row_checksums
from batchrun.checkpoint.checksums import checksum
from batchrun.records import ModelTotals, Outcome, Usage
from batchrun.storage.runs import RUN_FILE

if TYPE_CHECKING:  # checks and shapes of rows need this module, and no database
    import sqlite3

FILE_NAME = RUN_FILE

APPLICATION_ID = 0x62617472
""" `batr`: tells a checkpoint from any other SQLite file."""

VERSION = migrations.FIRST + len(migrations.MIGRATIONS)
"""Of the tables below."""

MOST_VERSIONS = 1000
"""More than there will be: a greater number comes of damage."""

KEY_BYTES = 16
"""Length of a `request_key`."""

LOGS = ("-journal", "-wal", "-shm")
"""Name endings of SQLite's own files next to a checkpoint. SQLite would read them into another file of that name."""

_CHUNKS = (64, 8, 1)
"""Rows inserted by one statement, largest first: few sizes, so that SQLite compiles few statements."""


MODELS = 1 << 8
"""How many fit into an id; 16 bits are for the sample, and 39 are left for the row."""

TABLES = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,      -- row, model, sample
    key BLOB NOT NULL,           -- request_key
    custom_id TEXT,
    kind TEXT,                   -- of a failure; null: completed
    error TEXT,
    http_status INTEGER,
    attempts INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    latency_s REAL,
    finished_at_ms INTEGER NOT NULL,
    prompt_tokens INTEGER,       -- as the answer states them, as are the four that follow
    completion_tokens INTEGER,
    total_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    body BLOB,                   -- the raw answer; so late, so that reading keys skips it
    checksum INTEGER,            -- of the answer: see checksums; null: an older version stored it
    dictionary INTEGER,          -- number of the one that the body is packed with; null: it is not packed
    reply INTEGER                -- where no body is: the number of a reply, and in 16 bits the place in it
);
CREATE TABLE retired AS SELECT * FROM outcomes;  -- answers whose request is asked no more: paid for, so kept
CREATE TABLE totals (
    model INTEGER PRIMARY KEY,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    throttled INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    unstated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE limits (at_ms INTEGER NOT NULL, requests INTEGER NOT NULL, reason TEXT NOT NULL);
{migrations.EXECUTIONS};
{migrations.PAUSES};
{migrations.EXECUTION_TOTALS};
{migrations.SOURCES};
{migrations.ORIGINS};
{migrations.ENDPOINT_LIMITS};
{migrations.ENDPOINT_PAUSES};
{migrations.DICTIONARIES};
{migrations.REPLIES};
{";".join(batch_tables.TABLES)};
{row_checksums.TABLE};
"""

OUTCOME_COLUMNS = (
    "id",
    "key",
    "custom_id",
    "kind",
    "error",
    "http_status",
    "attempts",
    "throttled",
    "latency_s",
    "finished_at_ms",
    *Usage._fields,
    "body",
    "checksum",
    "dictionary",
    "reply",
)

COUNTS = tuple(field for field in ModelTotals._fields if field not in ("requests", "stated_as_0"))
"""Columns of `totals`; `requests` is the sum of two of them, and `stated_as_0` is a fact."""


class Asked(Protocol):
    """A request, as far as the checkpoint knows it; a broken row is one too."""

    @property
    def row(self) -> int: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def sample(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes: ...  # noqa: D102
    @property
    def custom_id(self) -> str | None: ...  # noqa: D102


def pack(row: int, model: int, sample: int) -> int:
    """Return the id of one outcome; ids sort by row, then model, then sample."""
    return row << 24 | model << 16 | sample


def unpack(number: int) -> tuple[int, int, int]:
    """Return row, model and sample of an id."""
    return number >> 24, number >> 16 & 0xFF, number & 0xFFFF


def unpack_all(numbers: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Return the rows, the models and the samples of many ids."""
    rows = [number >> 24 for number in numbers]
    return rows, [number >> 16 & 0xFF for number in numbers], [number & 0xFFFF for number in numbers]


class Insert(NamedTuple):
    """One statement that inserts some rows, without the text."""

    are_null: tuple[bool, ...]
    """Of each column, whether it is null in all rows."""
    rows: int
    values: list[Any]
    """Of all other columns, row by row."""


def insert_many(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert whole rows of one width into a table."""
    insert(connection, table, inserts_of(rows))


def insert(connection: sqlite3.Connection, table: str, inserts: Iterable[Insert]) -> None:
    """Insert rows that were made ready by `inserts_of`."""
    for each in inserts:
        connection.execute(_insert_of(table, each.are_null, each.rows), each.values)


def inserts_of(rows: Sequence[tuple[Any, ...]]) -> Iterator[Insert]:
    """Yield what inserts whole rows of one width, many with each statement.

    Each statement gives up the interpreter's lock once, and getting it back from a busy loop can take milliseconds.
    """
    done = 0
    for size in _CHUNKS if rows else ():
        while len(rows) - done >= size:
            yield _one_insert(rows[done : done + size])
            done += size


def rows_of(inserts: Iterable[Insert]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that were given to `inserts_of`."""
    for each in inserts:
        values = iter(each.values)
        for _ in range(each.rows):
            yield tuple(None if is_null else _unbound(next(values)) for is_null in each.are_null)


def _one_insert(rows: Sequence[tuple[Any, ...]]) -> Insert:
    """Return the insert of rows, which does not bind what Python looks up an adapter for.

    Python looks for one by attributes that None and bytes do not have. That takes as long as everything else that an
    insert does. A column that is null in all rows stands in the statement; a bytearray is bound as it is.
    """
    columns = list(zip(*rows, strict=True))
    are_null = tuple(column[0] is None and column.count(None) == len(rows) for column in columns)
    bound = [_bindable(column) for column, is_null in zip(columns, are_null, strict=True) if not is_null]
    return Insert(are_null, len(rows), list(chain.from_iterable(zip(*bound, strict=True))))


def _bindable(column: tuple[Any, ...]) -> Iterable[Any]:
    are_bytes = column[0].__class__ is bytes and {*map(type, column)} == {bytes}
    return map(bytearray, column) if are_bytes else column


def _unbound(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray) else value


@lru_cache
def _insert_of(table: str, are_null: tuple[bool, ...], rows: int) -> str:
    """Return the statement that inserts so many rows, given which of their columns are null."""
    values = f"({', '.join('NULL' if is_null else '?' for is_null in are_null)})"
    return f"INSERT INTO {table} VALUES {', '.join([values] * rows)}"  # only question marks and nulls


OWN_BODY = f"outcomes ({', '.join(OUTCOME_COLUMNS[:-1])})"
"""The table, with the columns that `columns_of` returns."""

KEY = OUTCOME_COLUMNS.index("key")
"""The place of that column in it."""

Pack = Callable[[bytes | None], tuple[bytes | None, int | None]]
"""Returns a body as it is stored, and the number of the dictionary that it is packed with."""


def as_it_is(body: bytes | None) -> tuple[bytes | None, None]:
    """Have a body stored unpacked."""
    return body, None


def columns_of(number: int, outcome: Outcome, stored: Pack = as_it_is) -> tuple[Any, ...]:
    """Return an outcome that shares no reply, with this id, as a row of `OWN_BODY`."""
    _, _, _, key, label, kind, error, status, attempts, took_s, at_ms, body, usage, throttled, *_ = outcome
    error = None if error is None else error.encode("utf-8", "replace").decode()
    body, dictionary = stored(body)
    return (
        number,
        key,
        label,
        kind,
        error,
        status,
        attempts,
        throttled,
        took_s,
        at_ms,
        *usage,
        body,
        checksum(key, kind, error, status, body),
        dictionary,
    )
