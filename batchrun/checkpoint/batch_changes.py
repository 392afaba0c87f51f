"""What an edited job does to the lines of batches: each is for any request that asks the same, wherever that stands.

A line whose request has left the job is free: its answer is paid, so it is retired when the batch is collected. A
request of the job that asks the same gets a free line while there is one, and is not sent again. The requests of the
job are in the temporary table `asked`.
"""

import sqlite3

from batchrun.checkpoint.batch_tables import CREATED, CREATING, NOT_KNOWN, has_free_lines

AWAITED = "(SELECT id FROM batch_lines WHERE batch > 0 AND id IS NOT NULL)"
"""Requests that a batch is to answer."""

_FOUND = "UPDATE batch_lines SET key = asked.key FROM asked WHERE asked.id = batch_lines.id AND batch_lines.key = ?"

_ANSWERED = """
DELETE FROM batch_lines WHERE batch > 0 AND EXISTS (
    SELECT 1 FROM outcomes
    WHERE outcomes.id = batch_lines.id AND outcomes.key = batch_lines.key AND kind IS NULL AND attempts > 0
)
"""
"""Killed while it was collected, a batch has lines whose answers are stored. Such an answer may move now."""

_FREED = """
CREATE TEMP TABLE freed AS SELECT rowid AS line FROM batch_lines WHERE id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM asked WHERE asked.id = batch_lines.id AND asked.key = batch_lines.key)
"""
_FREE = "UPDATE batch_lines SET id = NULL WHERE rowid IN (SELECT line FROM freed)"
_FORGET = "DELETE FROM batch_lines WHERE batch = 0 AND id IS NULL"

_JOIN = f"""
UPDATE batch_lines SET id = found.id FROM (
    SELECT line, places.id AS id FROM (
        SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY id) AS turn FROM asked
        WHERE is_request AND key IN (SELECT key FROM batch_lines WHERE id IS NULL)
        AND id NOT IN (SELECT id FROM outcomes) AND id NOT IN {AWAITED}
    ) AS places JOIN (
        SELECT rowid AS line, key, row_number() OVER (PARTITION BY key ORDER BY batch, place) AS turn
        FROM batch_lines WHERE id IS NULL
    ) USING (key, turn)
) AS found WHERE batch_lines.rowid = found.line
"""
_NO_MORE_WAITING = f"DELETE FROM batch_lines WHERE batch = 0 AND id IN {AWAITED}"
_LABEL = """
UPDATE batch_lines SET custom_id = asked.custom_id FROM asked
WHERE asked.id = batch_lines.id AND asked.custom_id IS NOT batch_lines.custom_id
"""

_COUNT = """
SELECT count(batch_lines.id), count(freed.line) FROM batch_lines
JOIN batches ON batches.id = batch AND step IN (?, ?)
LEFT JOIN freed ON freed.line = batch_lines.rowid AND batch_lines.id IS NULL
WHERE batch_lines.id IS NULL OR batch_lines.id NOT IN (SELECT id FROM outcomes)
"""


def free_lines(connection: sqlite3.Connection) -> None:
    """Free the lines whose requests have left the job, before any outcome is moved; `join_lines` follows."""
    connection.execute(_FOUND, (NOT_KNOWN,))
    for statement in (_ANSWERED, _FREED, _FREE, _FORGET):
        connection.execute(statement)


def join_lines(connection: sqlite3.Connection) -> tuple[int, int]:
    """Give free lines to requests without an outcome that ask the same.

    Returns:
        How many open requests are in batches that may be under way, and how many of these leave the job now. A batch
        that was never created costs nothing.
    """
    if has_free_lines(connection):
        connection.execute(_JOIN)
        connection.execute(_NO_MORE_WAITING)
    connection.execute(_LABEL)
    in_batches, dropped = connection.execute(_COUNT, (CREATING, CREATED)).fetchone()
    connection.execute("DROP TABLE freed")
    return int(in_batches) + int(dropped), int(dropped)
