"""The tables of batches, which only a run by batches has, and their rows."""

import sqlite3
from typing import NamedTuple

TABLES = (
    """
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
)""",
    """
CREATE TABLE IF NOT EXISTS batch_lines (
    id INTEGER PRIMARY KEY,       -- of the request, as of its outcome
    batch INTEGER NOT NULL,       -- 0: it waits for the next one
    key BLOB NOT NULL,            -- request_key
    custom_id TEXT,
    attempts INTEGER NOT NULL,    -- in earlier batches, as are the three that follow
    throttled INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    repairs INTEGER NOT NULL,
    body BLOB                     -- of a repair
)""",
    "CREATE INDEX IF NOT EXISTS batch_lines_of ON batch_lines (batch)",
    """
CREATE TABLE IF NOT EXISTS batch_answers (
    id INTEGER PRIMARY KEY,       -- of the outcome
    key BLOB NOT NULL,            -- of its request; with the time it tells whether the outcome is still the same
    finished_at_ms INTEGER NOT NULL,
    before BLOB NOT NULL,         -- the provider's line up to the body of the answer, which is in the outcome
    after BLOB NOT NULL           -- what follows it
)""",
)

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


class LineRow(NamedTuple):
    """A row of `batch_lines`."""

    id: int
    batch: int
    key: bytes
    custom_id: str | None
    attempts: int = 0
    throttled: int = 0
    spent: int = 0
    repairs: int = 0
    body: bytes | None = None


def read_batches(connection: sqlite3.Connection) -> list[BatchRow]:
    """Return the batches of a checkpoint; none where the run has never sent any."""
    if not has_table(connection, "batch_lines"):
        return []
    return [BatchRow(*row) for row in connection.execute("SELECT * FROM batches ORDER BY id")]


def forget_others(connection: sqlite3.Connection) -> None:
    """Forget lines of requests that are not in the temporary table `asked`: their answers are paid, and not used."""
    if has_lines(connection):
        connection.execute(
            "UPDATE batch_lines SET key = asked.key, custom_id = asked.custom_id FROM asked "
            "WHERE asked.id = batch_lines.id AND batch_lines.key = ?",
            (NOT_KNOWN,),
        )
        connection.execute(
            "DELETE FROM batch_lines WHERE NOT EXISTS "
            "(SELECT 1 FROM asked WHERE asked.id = batch_lines.id AND asked.key = batch_lines.key)"
        )


def in_batches(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many open requests are in batches, and how many of these are not in the temporary table `asked`.

    Only batches that may be under way count: one that was never created costs nothing.
    """
    if not has_lines(connection):
        return 0, 0
    count, others = connection.execute(
        "SELECT count(*), count(CASE WHEN asked.id IS NULL THEN 1 END) FROM batch_lines LEFT JOIN asked "
        "ON asked.id = batch_lines.id AND batch_lines.key IN (asked.key, ?) "
        "WHERE batch IN (SELECT id FROM batches WHERE step IN (?, ?)) "
        "AND batch_lines.id NOT IN (SELECT id FROM outcomes)",
        (NOT_KNOWN, CREATING, CREATED),
    ).fetchone()
    return int(count), int(others)


def has_lines(connection: sqlite3.Connection) -> bool:
    """Return whether requests are in batches, or wait for the next one."""
    return has_table(connection, "batch_lines") and bool(
        connection.execute("SELECT EXISTS (SELECT 1 FROM batch_lines)").fetchone()[0]
    )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a checkpoint has a table."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    return bool(count)
