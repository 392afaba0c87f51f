"""The tables of batches, and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the shapes of rows need this module, and no database
    import sqlite3

_BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY,       -- from 1
    model TEXT NOT NULL,
    kind TEXT NOT NULL,           -- of its requests
    step TEXT NOT NULL,           -- the last that is known to be done; see STEPS
    requests INTEGER NOT NULL,
    reserved_usd REAL NOT NULL,   -- set aside until it is collected
    reserved_tokens REAL NOT NULL,
    planned_at_ms INTEGER NOT NULL,
    file TEXT,                    -- the provider's name of its input file
    name TEXT,                    -- the provider's name of the batch
    status TEXT,                  -- the provider's
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER,
    expires_at_ms INTEGER,
    message TEXT                  -- why it failed
)"""
_LINES = (
    """
CREATE TABLE batch_lines (        -- as BatchLine
    batch INTEGER NOT NULL,
    place INTEGER NOT NULL,
    id INTEGER,
    key BLOB NOT NULL,
    custom_id TEXT,
    attempts INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    repairs INTEGER NOT NULL,
    body BLOB,
    UNIQUE (batch, place)
)""",
    "CREATE INDEX batch_lines_for ON batch_lines (id)",
)
_ANSWERS = """
CREATE TABLE IF NOT EXISTS batch_answers (
    id INTEGER PRIMARY KEY,       -- of the outcome
    key BLOB NOT NULL,            -- of its request; with the time it tells whether the outcome is still the same
    finished_at_ms INTEGER NOT NULL,
    before BLOB NOT NULL,         -- the provider's line up to the body of the answer, which is in the outcome
    after BLOB NOT NULL           -- what follows it
)"""

TABLES = (_BATCHES, *_LINES, _ANSWERS)

_LINES_BEFORE = """
CREATE TABLE IF NOT EXISTS batch_lines (
    id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, key BLOB NOT NULL, custom_id TEXT, attempts INTEGER NOT NULL,
    throttled INTEGER NOT NULL, spent INTEGER NOT NULL, repairs INTEGER NOT NULL, body BLOB
)"""
_AS_NOW = "SELECT batch, id AS place, id, key, custom_id, attempts, throttled, spent, repairs, body"

MIGRATION = (
    _BATCHES,
    _ANSWERS,
    _LINES_BEFORE,
    "DROP INDEX IF EXISTS batch_lines_of",
    "ALTER TABLE batch_lines RENAME TO batch_lines_before",
    *_LINES,
    f"INSERT INTO batch_lines {_AS_NOW} FROM batch_lines_before",
    "DROP TABLE batch_lines_before",
)
"""Of version 6, whose tables only a run by batches had."""

WRITING, WRITTEN, UPLOADED, CREATING, CREATED, COLLECTED = (
    "writing",
    "written",
    "uploaded",
    "creating",
    "created",
    "collected",
)
GIVEN_UP = "given_up"
"""Status of a collected batch that brought nothing: another account has it, and may still be answering it."""

GONE = "gone"
"""Status of a collected batch that brought nothing: the provider does not have it any more."""

FAILED = "failed"
"""Status of a collected batch that the provider has not taken. Source: OpenAI's reference, `status` of a batch."""

WAITING = "waiting"
"""Status of a batch that is not created, because the provider's queue is full."""

NOT_KNOWN = b""
"""Key of a line that a salvage has lost and found again: it gets that of the request at its place."""

STEPS = (WRITING, WRITTEN, UPLOADED, CREATING, CREATED, COLLECTED)


class BatchRow(NamedTuple):
    """A row of `batches`."""

    id: int
    model: str
    kind: str
    step: str
    requests: int
    reserved_usd: float
    reserved_tokens: float
    planned_at_ms: int
    file: str | None = None
    name: str | None = None
    status: str | None = None
    completed: int = 0
    failed: int = 0
    created_at_ms: int | None = None
    expires_at_ms: int | None = None
    message: str | None = None

    @property
    def answered(self) -> int:
        """How many requests it has answered, where it has ended; not all providers count them."""
        return self.requests if self.status == "completed" else self.completed + self.failed


class AnswerRow(NamedTuple):
    """A row of `batch_answers`."""

    id: int
    key: bytes
    finished_at_ms: int
    before: bytes
    after: bytes


def pretend(connection: sqlite3.Connection) -> None:
    """Let a connection that only reads a file of version 6 see its batches and lines as they are now."""
    names = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_schema")}
    if "batch_lines" in names:
        connection.execute(f"CREATE TEMP TABLE batch_lines AS {_AS_NOW} FROM main.batch_lines")
        return
    for statement in (_BATCHES, _LINES[0], _ANSWERS):
        connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))


def read_batches(connection: sqlite3.Connection) -> list[BatchRow]:
    """Return the batches of a checkpoint; none where the run has never sent any."""
    return [BatchRow(*row) for row in connection.execute("SELECT * FROM batches ORDER BY id")]


def has_lines(connection: sqlite3.Connection) -> bool:
    """Return whether requests are in batches, or wait for the next one."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM batch_lines)").fetchone()[0])


def has_free_lines(connection: sqlite3.Connection) -> bool:
    """Return whether batches have requests that the job does not have now."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM batch_lines WHERE id IS NULL)").fetchone()[0])
