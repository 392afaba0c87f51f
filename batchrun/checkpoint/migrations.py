"""How the tables of older versions become those of this one: one list, in order, from the first version on.

A change to the tables in `tables` needs a migration here. When a run opens an older file, all that it lacks is done in
one transaction. Commands that only look (`status`, `export`) change no file: where tables and columns are only added,
they see empty ones; otherwise they work on a temporary copy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchrun.checkpoint import batch_tables, row_checksums

if TYPE_CHECKING:
    import sqlite3

Migration = tuple[str, ...]
"""SQL statements that bring the tables of one version to the next."""

FIRST = 1
"""The oldest version that there is."""

EXECUTIONS = """
CREATE TABLE executions (
    id INTEGER PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,         -- null: it is running, or died
    state TEXT,
    message TEXT,                -- why it stopped
    seen_at_ms INTEGER           -- when it was last known to run
)
"""
PAUSES = """
CREATE TABLE pauses (
    execution INTEGER NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    message TEXT NOT NULL
)
"""

EXECUTION_TOTALS = """
CREATE TABLE execution_totals (
    id INTEGER PRIMARY KEY,      -- of the execution
    host TEXT NOT NULL,          -- name of the machine that it ran on
    boot TEXT NOT NULL,          -- identifies the start of that machine
    began_with TEXT NOT NULL,    -- the run's totals by model when it began, as JSON
    ended_with TEXT,             -- likewise when it had ended; null until another execution opens the file
    ended_by TEXT                -- what ended it; null: it is running, or died
)
"""

SOURCES = """
CREATE TABLE sources (           -- what the answers of each source add up to; as AnswerSource
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    run TEXT NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    unstated INTEGER NOT NULL,
    stated_as_0 TEXT NOT NULL    -- as JSON
)
"""
ORIGINS = """
CREATE TABLE origins (           -- only of outcomes with an endpoint, or of another model or run than was asked
    id INTEGER PRIMARY KEY,      -- of the outcome; of a retired one its rowid, negative
    source INTEGER NOT NULL
)
"""
ENDPOINT_LIMITS = """
CREATE TABLE endpoint_limits (   -- of each endpoint of several; their sum is in limits
    endpoint TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    reason TEXT NOT NULL
)
"""
ENDPOINT_PAUSES = """
CREATE TABLE endpoint_pauses (   -- of each endpoint of several; pauses has those of a model that no endpoint answered
    execution INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    message TEXT NOT NULL
)
"""

DICTIONARIES = """
CREATE TABLE dictionaries (      -- copies of what bodies are packed with
    id INTEGER PRIMARY KEY,
    label TEXT NOT NULL,         -- by which a salvage finds them
    number INTEGER NOT NULL,     -- of the dictionary: the same in each of its copies
    content BLOB NOT NULL,
    checksum INTEGER NOT NULL    -- of the content: CRC-32
)
"""
REPLIES = """
CREATE TABLE replies (           -- each answers several rows, which refer to it
    id INTEGER PRIMARY KEY,
    frame BLOB NOT NULL,         -- JSON: the answer to one of the rows, with null for its vector
    size INTEGER NOT NULL,       -- bytes of each vector
    checksum INTEGER NOT NULL,   -- of frame and size
    vectors BLOB NOT NULL        -- of all rows, in the order of their places
)
"""
UNCHECKED = "INSERT INTO facts VALUES ('unchecked', '0')"
"""Has a run give rows of older versions what newer rows have: see `old_rows`. Who only reads needs it not."""

_ADD = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+)")

MIGRATIONS: tuple[Migration, ...] = (
    (EXECUTIONS, PAUSES),
    (EXECUTION_TOTALS,),
    (SOURCES, ORIGINS, ENDPOINT_LIMITS, ENDPOINT_PAUSES),
    (
        "ALTER TABLE outcomes ADD COLUMN checksum INTEGER",
        "ALTER TABLE outcomes ADD COLUMN dictionary INTEGER",
        "ALTER TABLE retired ADD COLUMN checksum INT",
        "ALTER TABLE retired ADD COLUMN dictionary INT",
        DICTIONARIES,
        UNCHECKED,
    ),
    ("ALTER TABLE outcomes ADD COLUMN reply INTEGER", "ALTER TABLE retired ADD COLUMN reply INT", REPLIES),
    batch_tables.MIGRATION,
    (row_checksums.TABLE,),
)
"""The first one makes version 2 of version 1, and so on."""

_CREATE = "CREATE TABLE "


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring a file to the version that the migrations end at: completely, or not at all.

    Args:
        connection: in autocommit mode, to a checkpoint that is not newer than that.
        migrations: the first one is for a file of version `FIRST`.

    Raises:
        sqlite3.Error: it cannot be done; then nothing is changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statements in migrations[version - FIRST :]:
            for statement in statements:
                connection.execute(statement)
        row_checksums.fill(connection)
        connection.execute(f"PRAGMA user_version = {FIRST + len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def pretend(connection: sqlite3.Connection, version: int, migrations: Sequence[Migration]) -> bool:
    """Let a connection that only reads see the tables and columns that an older file lacks, empty; change no file.

    Returns:
        Whether that is enough; otherwise nothing was done.
    """
    missing = migrations[version - FIRST :]
    statements = [text.lstrip() for each in missing if each is not batch_tables.MIGRATION for text in each]
    created = [statement for statement in statements if statement.startswith(_CREATE)]
    added = [found for statement in statements if (found := _ADD.match(statement))]
    if len(created) + len(added) + statements.count(UNCHECKED) < len(statements):
        return False
    if batch_tables.MIGRATION in missing:
        batch_tables.pretend(connection)
    for statement in created:
        connection.execute(statement.replace(_CREATE, "CREATE TEMP TABLE ", 1))
    for table in dict.fromkeys(found[1] for found in added):
        columns = ", ".join(f"NULL AS {found[2]}" for found in added if found[1] == table)
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT *, {columns} FROM main.{table}")  # our own names
    return True
