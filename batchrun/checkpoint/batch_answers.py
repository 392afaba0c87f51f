"""What a provider's line of a batch has around the answer; the answer itself is in its outcome."""

import sqlite3
from collections.abc import Mapping

from batchrun.checkpoint.batch_tables import AnswerRow
from batchrun.checkpoint.tables import pack
from batchrun.records import OutcomeColumns

Around = tuple[bytes, bytes] | None
"""A line up to the body of its answer, and what follows it; None where no batch has answered."""


def lines_around(connection: sqlite3.Connection, columns: OutcomeColumns, models: Mapping[int, str]) -> list[Around]:
    """Return what stands around the answers of some outcomes.

    Args:
        connection: to the checkpoint.
        columns: of the outcomes, in their order, not empty.
        models: name of each, by its number.
    """
    numbers = {name: number for number, name in models.items()}
    places = zip(columns["row"], columns["model"], columns["sample"], strict=True)
    ids = [pack(row, numbers[model], sample) for row, model, sample in places]
    found = _between(connection, ids[0], ids[-1])
    outcomes = zip(ids, columns["key"], columns["finished_at_ms"], strict=True)
    rows = [(found.get(number), key, at_ms) for number, key, at_ms in outcomes]
    return [
        (row.before, row.after) if row is not None and (row.key, row.finished_at_ms) == (key, at_ms) else None
        for row, key, at_ms in rows
    ]


def _between(connection: sqlite3.Connection, first: int, last: int) -> dict[int, AnswerRow]:
    query = "SELECT * FROM batch_answers WHERE id BETWEEN ? AND ?"
    return {row[0]: AnswerRow(*row) for row in connection.execute(query, (first, last))}
