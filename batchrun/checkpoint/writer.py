"""Outcomes as rows, and rows into SQLite, many to a statement.

Each statement gives up the interpreter's lock once, and getting it back from a busy loop can take milliseconds.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.checkpoint.tables import pack
from batchrun.records import Outcome

_CHUNKS = (64, 8, 1)
"""Rows to a statement, largest first; few sizes, so that each is compiled once."""


def insert_many(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert whole rows of one width into a table."""
    done = 0
    for size in _CHUNKS if rows else ():
        values = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * size)
        while len(rows) - done >= size:
            chunk = [column for row in rows[done : done + size] for column in row]
            connection.execute(f"INSERT INTO {table} VALUES {values}", chunk)  # only question marks
            done += size


def columns_of(outcome: Outcome, models: Mapping[str, int]) -> tuple[Any, ...]:
    """Return an outcome as a row of `outcomes`; `models` are the numbers of the models."""
    return (
        pack(outcome.row, models[outcome.model], outcome.sample),
        outcome.key,
        outcome.custom_id,
        outcome.kind,
        None if outcome.error is None else outcome.error.encode("utf-8", "replace").decode(),
        outcome.http_status,
        outcome.attempts,
        outcome.throttled,
        outcome.latency_s,
        outcome.finished_at_ms,
        *outcome.usage,
        outcome.body,
    )
