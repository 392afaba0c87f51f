"""Which outcomes of a checkpoint still fit the job: a row is known by its number and by the key of its request.

Needed only when the job or its input has changed since the checkpoint was written. The requests of the whole input are
listed in a temporary table. Then, in one transaction that the user may still refuse:

1. An outcome whose row now has another request is retired: it was paid for, so it is kept, but not in the results.
2. A request without an outcome gets a retired one with the same key: its row has moved, or an edit was undone. Else it
   gets a line with the same key of a batch under way: see `batch_changes`.
"""

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint import origins
from batchrun.checkpoint.batch_changes import AWAITED, free_lines, join_lines
from batchrun.checkpoint.batch_tables import has_free_lines
from batchrun.checkpoint.facts import ORIGIN
from batchrun.checkpoint.file import connect, translated
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.retired import has_retired_answers, last_retired, recount, retire
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, OUTCOME_COLUMNS, Asked, unpack
from batchrun.records import BadRow

_REST = ", ".join(OUTCOME_COLUMNS[1:])

_ASKED = "CREATE TEMP TABLE asked (id INTEGER PRIMARY KEY, key BLOB NOT NULL, custom_id TEXT, is_request INTEGER)"
_LIST = "INSERT INTO asked VALUES (?, ?, ?, ?)"

_UNSETTLED = "FROM asked WHERE is_request AND id NOT IN (SELECT id FROM outcomes)"
_NEW = f"SELECT id {_UNSETTLED}"
_NEW_SHARED = f"""
SELECT min(id) {_UNSETTLED}
AND (key, id & 65535) NOT IN (SELECT key, id & 65535 FROM outcomes WHERE attempts > 0)
GROUP BY id >> 16 & 255, key, id & 65535
"""
"""Requests to send: all without an outcome, or of those that ask the same only the first."""

_LEFT_OUT = ("body", "checksum", "dictionary", "reply")
_BARE = ", ".join(f"NULL AS {name}" if name in _LEFT_OUT else name for name in OUTCOME_COLUMNS)
_COPIED = {"outcomes": _BARE, "retired": _BARE, "facts": "*", "models": "*", "totals": "*", "batch_lines": "*"}
_LEFT_EMPTY = ("sources", "origins")

_SETTLED = """
SELECT name, count(*) FROM outcomes JOIN models ON models.id = outcomes.id >> 16 & 255
WHERE kind IS NOT 'bad_row' GROUP BY 1
"""

_MATCH = f"""
CREATE TEMP TABLE moved AS
SELECT place.id AS id, answer.rowid AS origin
FROM (
    SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY id) AS turn FROM asked
    WHERE id NOT IN (SELECT id FROM outcomes) AND id NOT IN {AWAITED}
) AS place
JOIN (
    SELECT rowid, key, row_number() OVER (PARTITION BY key ORDER BY kind IS NOT NULL, rowid) AS turn FROM retired
) AS answer USING (key, turn);
INSERT INTO outcomes SELECT moved.id, {_REST} FROM moved JOIN retired ON retired.rowid = moved.origin;
{origins.RETURN};
DELETE FROM retired WHERE rowid IN (SELECT origin FROM moved);
DROP TABLE moved;
"""  # only names of columns

_ELSEWHERE = "NOT EXISTS (SELECT 1 FROM asked WHERE asked.id = outcomes.id AND asked.key = outcomes.key)"


class Change(NamedTuple):
    """What an edited job does to a checkpoint."""

    settled: int
    """Outcomes before the change."""
    kept: int
    """Requests that keep an answer."""
    new: int
    """Requests to send; broken rows are not among them, and where answers are shared, no copies."""
    replaced: int
    """The most of these that take the place of an answer: an edited row looks like one removed and one added."""
    gone: int
    """Outcomes that leave the results."""
    in_batches: int = 0
    """Requests without an outcome that are in batches."""
    dropped: int = 0
    """Of these, the ones that leave the job: their answers are paid, and retired when they come."""

    @property
    def still_asked(self) -> int:
        """Requests that are in batches and in the job: they are new, and not sent again."""
        return self.in_batches - self.dropped


def adapt(
    store: Store,
    batches: Iterable[Sequence[Asked]],
    agree: Callable[[Change], bool],
    *,
    shares_answers: bool = False,
) -> Change:
    """Fit a checkpoint to the requests of an edited job.

    Args:
        store: open, not started.
        batches: every request of the job.
        agree: called before the change is committed; False takes it back.
        shares_answers: whether requests that ask the same are sent once (`dedupe`).

    Returns:
        What was changed; if not agreed, what would have been. After a change the caller notes the origin again.
    """
    with store.using() as connection:
        connection.execute(_ASKED)
    try:
        with store.using() as connection:
            connection.execute("BEGIN IMMEDIATE")
        for batch in batches:
            rows = [_listed(each, store.id_of(each)) for each in batch]
            with store.using() as connection:
                connection.executemany(_LIST, rows)
        with store.using() as connection:
            change = _fit(connection, shares_answers=shares_answers)
        if agree(change):
            with store.using() as connection:
                connection.execute("COMMIT")
                store.reload()
        return change
    finally:
        with store.using() as connection:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("DROP TABLE IF EXISTS asked")


def _listed(asked: Asked, number: int) -> tuple[int, bytes, str | None, bool]:
    return number, asked.key, asked.custom_id, not isinstance(asked, BadRow)


class Foreseen(NamedTuple):
    """What `adapt` would do."""

    change: Change
    settled: dict[str, int]
    """How many requests to each model would have an outcome; broken rows are not requests."""
    new_rows: dict[str, "array[int]"]
    """Rows of the requests that would be sent to each model, one for each request."""

    @property
    def new(self) -> dict[str, int]:
        """How many requests to each model would be sent."""
        return {model: len(rows) for model, rows in self.new_rows.items()}


def foresee(directory: Path, batches: Iterable[Sequence[Asked]], *, shares_answers: bool = False) -> Foreseen:
    """Return what `adapt` would do, and change nothing: it is done to copies of the tables, without the answers.

    Args:
        directory: of the run; another process may be working in it.
        batches: every request of the job.
        shares_answers: whether requests that ask the same are sent once (`dedupe`).

    Raises:
        RunDirectoryError: the checkpoint cannot be read.
    """
    path = directory / FILE_NAME
    with closing(connect(path, read_only=True)) as connection:
        numbers = ModelNumbers(path, WriteQueue())  # what is queued is never written
        with translated(path):
            _shadow(connection)
            numbers.load(connection)
        for batch in batches:
            rows = [_listed(each, numbers.id_of(each)) for each in batch]
            with translated(path):
                connection.executemany(_LIST, rows)
        with translated(path):
            connection.executemany(
                "INSERT OR IGNORE INTO models VALUES (?, ?)",
                [(number, name) for name, number in numbers.numbers.items()],
            )
            change = _fit(connection, shares_answers=shares_answers)
            settled = dict(connection.execute(_SETTLED))
            names = {number: name for name, number in numbers.numbers.items()}
            new_rows: dict[str, array[int]] = {}
            for number in _new(connection, shares_answers=shares_answers):
                row, model, _ = unpack(number)
                new_rows.setdefault(names[model], array("q")).append(row)
    return Foreseen(change, settled, new_rows)


def _shadow(connection: sqlite3.Connection) -> None:
    """Put temporary copies in the place of the tables that `_fit` reads and writes: SQLite finds these first."""
    of_older_file = connection.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'view'").fetchall()
    for (view,) in of_older_file:
        connection.execute(f"DROP VIEW temp.{view}")
    connection.execute("BEGIN")  # one snapshot
    for table, columns in _COPIED.items():
        # Our own texts. Of an older file there may be such a copy.
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} AS SELECT {columns} FROM main.{table}")
    for table in _LEFT_EMPTY:
        connection.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table} LIMIT 0")
    connection.execute("CREATE UNIQUE INDEX temp.model_ids ON models (id)")
    connection.execute(_ASKED)
    connection.execute("COMMIT")
    connection.execute("BEGIN")  # of the copies only: else each insert would be a transaction


class Settled(NamedTuple):
    """What a checkpoint has."""

    by_model: dict[str, int]
    """How many requests to each model have an outcome; broken rows are not requests."""
    has_retired: bool
    """Whether there are answers whose requests are not in the job."""


def settled_in(directory: Path) -> Settled:
    """Return what a checkpoint has: all that `foresee` would find of it where neither job nor input has changed.

    Args:
        directory: of the run; another process may be working in it.

    Raises:
        RunDirectoryError: the checkpoint cannot be read.
    """
    path = directory / FILE_NAME
    with closing(connect(path, read_only=True)) as connection, translated(path):
        return Settled(dict(connection.execute(_SETTLED)), has_retired_answers(connection))


def forget_failed(store: Store, *, shares_answers: bool = False) -> int:
    """Retire all failed rows, so that they are sent again. Broken rows are read again.

    Args:
        store: open, not started.
        shares_answers: whether requests that ask the same are sent once (`dedupe`).

    Returns:
        How many failed requests can be sent; broken rows and copies are left out.
    """
    sent = "kind IS NOT NULL AND kind <> 'bad_row'" + (" AND attempts > 0" if shares_answers else "")
    with store.using() as connection:
        connection.execute("BEGIN IMMEDIATE")
        count = _count(connection, f"outcomes WHERE {sent}")
        retire(connection, "kind IS NOT NULL")
        connection.execute("UPDATE retired SET key = x'' WHERE kind IS NOT NULL")  # no request has this key
        recount(connection)
        connection.execute("COMMIT")
        store.reload()
    return count


def _fit(connection: sqlite3.Connection, *, shares_answers: bool) -> Change:
    settled = _count(connection, "outcomes")
    before = last_retired(connection)
    free_lines(connection)
    retire(connection, _ELSEWHERE)
    for statement in _MATCH.split(";"):  # executescript would commit
        connection.execute(statement)
    connection.execute(
        "UPDATE outcomes SET custom_id = asked.custom_id FROM asked "
        "WHERE asked.id = outcomes.id AND asked.custom_id IS NOT outcomes.custom_id"
    )
    recount(connection)
    # Until the caller notes what they fit now: killed before that, the next run must look at all of them again.
    connection.execute("DELETE FROM facts WHERE name = ?", (ORIGIN.name,))
    kept = _count(connection, "outcomes")
    new = sum(1 for _ in _new(connection, shares_answers=shares_answers))
    gone = _count(connection, f"retired WHERE rowid > {before}")
    answers_gone = _count(connection, f"retired WHERE rowid > {before} AND kind IS NULL AND attempts > 0")
    return Change(settled, kept, new, min(answers_gone, new), gone, *join_lines(connection))


def _new(connection: sqlite3.Connection, *, shares_answers: bool) -> Iterator[int]:
    """Yield the numbers of the requests that are to be sent."""
    return (number for (number,) in connection.execute(_NEW_SHARED if shares_answers else _NEW))


def has_retired(store: Store) -> bool:
    """Return whether there are retired answers, whose requests are not in the job now, or a batch may bring some."""
    with store.using() as connection:
        return has_retired_answers(connection) or has_free_lines(connection)


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # our own texts
    return int(count)
