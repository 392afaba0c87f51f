"""What the outcomes add up to that a salvage finds, and how many of them are lost."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from batchrun.checkpoint.tables import COUNTS

_SUMS = """
SELECT id >> 16 & 255, 0, 0, sum(attempts), sum(throttled),
    sum(iif(kind IS NULL, coalesce(prompt_tokens, 0), 0)), sum(iif(kind IS NULL, coalesce(completion_tokens, 0), 0)),
    sum(iif(kind IS NULL, coalesce(total_tokens, 0), 0)), sum(iif(kind IS NULL, coalesce(cached_tokens, 0), 0)),
    sum(iif(kind IS NULL, coalesce(reasoning_tokens, 0), 0)),
    sum(kind IS NULL AND prompt_tokens IS NULL AND completion_tokens IS NULL)
FROM (SELECT * FROM outcomes UNION ALL SELECT * FROM retired) GROUP BY 1
"""
"""Columns of `totals`, of all that was paid for."""

_SETTLED = "SELECT id >> 16 & 255, sum(kind IS NULL), sum(kind IS NOT NULL) FROM outcomes GROUP BY 1"

_PLACES = "SELECT count(*), (max(id >> 24) + 1) * count(DISTINCT id & 16777215) FROM outcomes"
"""How many outcomes there are, and how many there would be if no place before the last row were empty."""


class Lost(NamedTuple):
    """How many settled rows are lost."""

    rows: int
    is_exact: bool
    """Whether it is certain; otherwise some of these may never have been settled."""


def write_totals(connection: sqlite3.Connection, found: Mapping[int, Sequence[int]], models: Collection[int]) -> None:
    """Count the outcomes; of what was paid, take the higher of the old totals and the sums of what is left.

    Args:
        connection: to the new checkpoint, whose outcomes are there.
        found: old totals, by number of the model.
        models: the numbers of all models.
    """
    settled = {model: (completed, failed) for model, completed, failed in connection.execute(_SETTLED)}
    sums = {model: counts for model, *counts in connection.execute(_SUMS)}
    nothing = [0] * len(COUNTS)
    for model in sorted({*sums, *found} & {*models}):
        paid = map(max, sums.get(model, nothing), found.get(model, nothing))
        counts = [*settled.get(model, (0, 0)), *list(paid)[2:]]
        marks = ", ".join("?" * (1 + len(counts)))
        connection.execute(f"INSERT INTO totals VALUES ({marks})", (model, *counts))


def settled_before(found: Mapping[int, Sequence[int]]) -> int | None:
    """Return how many rows were settled, as the old totals say; None where these are lost."""
    return sum(counts[0] + counts[1] for counts in found.values()) if found else None


def lost_rows(
    connection: sqlite3.Connection, before: int | None, total: int | None, *, are_all_rows_used: bool
) -> Lost | None:
    """Return how many settled rows are lost; None where nothing tells it.

    Args:
        connection: to the new checkpoint, whose outcomes are there.
        before: settled rows before the damage; None where that is lost.
        total: rows that the results will have; None where that is not known.
        are_all_rows_used: whether the job uses each row of its input: then an empty place is a row without an answer.
    """
    rows, places = connection.execute(_PLACES).fetchone()
    if before is not None:
        return Lost(max(0, before - rows), is_exact=True)
    if total is not None:
        return Lost(max(0, total - rows), is_exact=rows >= total)
    return Lost((places or 0) - rows, is_exact=False) if are_all_rows_used else None
