"""Answers that are alike, as those of a run are, and checkpoints as older versions wrote them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

from batchrun.checkpoint.tables import FILE_NAME, OUTCOME_COLUMNS
from batchrun.records import Outcome
from harness.checkpoints import answer, requests, settle
from harness.settled import body_of

_WORDS = ("kettle", "boils", "quickly", "handle", "hot", "review", "buyer", "likes", "price", "battery", "good", "bad")

_TO_VERSION_4 = """
ALTER TABLE outcomes RENAME TO later;
ALTER TABLE retired RENAME TO later_retired;
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
    body BLOB                    -- the raw answer; last, so that reading keys skips it
);
CREATE TABLE retired AS SELECT * FROM outcomes;
INSERT INTO outcomes SELECT {columns} FROM later;
INSERT INTO retired SELECT {columns} FROM later_retired;
DROP TABLE later;
DROP TABLE later_retired;
DROP TABLE dictionaries;
DROP TABLE replies;
DROP TABLE batches;
DROP TABLE batch_lines;
DROP TABLE batch_answers;
DROP TABLE row_checksums;
PRAGMA user_version = 4;
VACUUM;
"""

_TO_VERSION_5 = """
ALTER TABLE outcomes DROP COLUMN reply;
ALTER TABLE retired DROP COLUMN reply;
DROP TABLE replies;
DROP TABLE batches;
DROP TABLE batch_lines;
DROP TABLE batch_answers;
DROP TABLE row_checksums;
PRAGMA user_version = 5;
VACUUM;
"""

_TO_VERSION_6 = """
ALTER TABLE batch_lines RENAME TO later;
DROP INDEX batch_lines_for;
CREATE TABLE batch_lines (
    id INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    key BLOB NOT NULL,
    custom_id TEXT,
    attempts INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    repairs INTEGER NOT NULL,
    body BLOB
);
CREATE INDEX batch_lines_of ON batch_lines (batch);
INSERT INTO batch_lines SELECT id, batch, key, custom_id, attempts, throttled, spent, repairs, body FROM later;
DROP TABLE later;
DROP TABLE row_checksums;
PRAGMA user_version = 6;
VACUUM;
"""

_WITHOUT_BATCHES = """
DROP TABLE batches;
DROP TABLE batch_lines;
DROP TABLE batch_answers;
"""


def text_of(row: int) -> str:
    """Return the text of a row's answer."""
    return " ".join(Random(row).choices(_WORDS, k=20))


def settled(count: int, first: int = 0) -> list[Outcome]:
    """Return completed outcomes whose answers are alike."""
    asked = requests(*map(str, range(first, first + count)), first=first)
    return [answer(each, body=body_of(text_of(each.row), each.row)) for each in asked]


def settle_as_version_4(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a checkpoint as version 4 did: without checksums, and unpacked."""
    settle(directory, outcomes)
    make_version_4(directory)


def make_version_4(directory: Path) -> None:
    """Take away from a checkpoint, whose answers are not packed, what later versions have added."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        columns = OUTCOME_COLUMNS[: OUTCOME_COLUMNS.index("body") + 1]
        connection.executescript(_TO_VERSION_4.format(columns=", ".join(columns)))


def make_version_5(directory: Path) -> None:
    """Take away from a checkpoint, none of whose answers is shared, what version 6 has added."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        connection.executescript(_TO_VERSION_5)


def make_version_6(directory: Path, *, has_batches: bool) -> None:
    """Have the lines of batches as version 6 had them, or no tables of batches, as in runs without any."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        connection.executescript(_TO_VERSION_6)
        if not has_batches:
            connection.executescript(_WITHOUT_BATCHES)
