"""Outcomes that leave the results because their request is asked no more: they were paid for, so they are kept."""

import sqlite3

from batchrun.checkpoint import origins, sources
from batchrun.checkpoint.facts import RESULTS, SETTLED_ROWS
from batchrun.checkpoint.reader import read_totals
from batchrun.checkpoint.totals import write_totals
from batchrun.checkpoint.twins import RECOUNT
from batchrun.records import ModelTotals


def retire(connection: sqlite3.Connection, condition: str) -> None:
    """Retire the outcomes that fulfil an SQL condition, in the open transaction; `recount` follows."""
    before = last_retired(connection)
    connection.execute(f"INSERT INTO retired SELECT * FROM outcomes WHERE {condition}")  # our own texts
    connection.execute(f"DELETE FROM outcomes WHERE {condition}")
    connection.execute(origins.RETIRE, (before,))


def last_retired(connection: sqlite3.Connection) -> int:
    """Return the greatest rowid among the retired outcomes: those that are retired later have a greater one."""
    (rowid,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM retired").fetchone()
    return int(rowid)


def has_retired_answers(connection: sqlite3.Connection) -> bool:
    """Return whether there are retired answers: the requests of these are not in the job now."""
    (found,) = connection.execute("SELECT EXISTS (SELECT 1 FROM retired WHERE kind IS NULL)").fetchone()
    return bool(found)


def recount(connection: sqlite3.Connection) -> None:
    """Count completed, failed and copied outcomes again, and keep what was paid.

    The mark of settled rows and the stamp of the results are forgotten: both are of the outcomes before.
    """
    connection.execute("DELETE FROM facts WHERE name IN (?, ?)", (SETTLED_ROWS.name, RESULTS.name))
    connection.execute(RECOUNT)
    sources.recount(connection)
    counts = dict.fromkeys((model for (model,) in connection.execute("SELECT model FROM totals")), (0, 0))
    query = "SELECT id >> 16 & 255, sum(kind IS NULL), sum(kind IS NOT NULL) FROM outcomes GROUP BY 1"
    counts |= {model: (completed, failed) for model, completed, failed in connection.execute(query)}
    names = dict(connection.execute("SELECT id, name FROM models"))
    totals = read_totals(connection)
    for model, (completed, failed) in counts.items():
        before = totals.get(names.get(model, ""), ModelTotals())
        write_totals(connection, model, before._replace(completed=completed, failed=failed))
