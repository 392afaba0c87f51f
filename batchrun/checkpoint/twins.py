"""Rows whose request is the same as another row's: sent once, and each row gets an outcome. On only with `dedupe`.

Theory of operation. Two requests are twins if their keys and samples are the same. The one that is read first is sent.
A twin that is read later is not: it waits in a table, on disk, since there may be as many as there are rows. When its
first is settled, the writer copies the outcome. Nothing was sent for the copy, so it has no attempts, no latency and
no tokens. What is settled is found by an index over the outcomes, which SQLite keeps right whatever is done to them;
what is in flight is in memory, and there is never much of that. Nothing else is remembered: a twin that was lost with
the process has no outcome, so the next run reads its row again, and finds its first settled or sends it itself.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeVar

import orjson

from batchrun.checkpoint.facts import COPIES
from batchrun.checkpoint.tables import KEY_BYTES, Asked, insert_many
from batchrun.checkpoint.totals import Copied
from batchrun.records import Request

A = TypeVar("A", bound=Asked)
_Question = tuple[bytes, int]

RECOUNT = f"""
UPDATE facts SET value = cast((
    SELECT count(*) FROM outcomes WHERE attempts = 0 AND kind IS NOT 'bad_row'
    AND id NOT IN (SELECT origins.id FROM origins JOIN sources ON sources.id = source WHERE run <> '')
) AS TEXT) WHERE name = '{COPIES.name}'
"""
"""Makes the fact right after outcomes have left or come. What was taken from another run was not copied."""

_AT_ONCE = 2048
"""How many are copied in one commit, so that none takes long."""

_MOST_NOTED = 20_000
"""How many the writer may have to look at until the reader waits for it."""

_CACHE_KIB = 32 << 10
"""What SQLite may hold of the file: keys come in no order, and each should find its page of the index there. With the
usual 2 MiB an outcome of a large run costs twice as much."""

_INDEX = "CREATE INDEX IF NOT EXISTS outcomes_asked ON outcomes (key, id & 65535, kind) WHERE attempts > 0"
_NO_INDEX = "DROP INDEX IF EXISTS outcomes_asked"

_WAITING = """
CREATE TEMP TABLE waiting (first INTEGER, id INTEGER, custom_id TEXT, PRIMARY KEY (first, id)) WITHOUT ROWID
"""

# Many keys and one row, since each row gives up the interpreter's lock. A completion, whose kind is null, comes first.
# Without the limit of -1, which is none, SQLite would join the two levels, and look each key up twice.
_FIND = f"""
WITH RECURSIVE places (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place + 1 < ?2)
SELECT group_concat(place || ' ' || found) FROM (
    SELECT place, (
        SELECT id FROM outcomes WHERE key = substr(?1, {KEY_BYTES} * place + 1, {KEY_BYTES}) AND id & 65535 = ?3
        AND attempts > 0 ORDER BY kind LIMIT 1
    ) AS found FROM places LIMIT -1
) WHERE found IS NOT NULL
"""

_TURN = """
FROM json_each(?1) CROSS JOIN waiting ON first = value CROSS JOIN outcomes ON outcomes.id = first
WHERE waiting.id <= ?2
"""
_COUNT = f"SELECT waiting.id >> 16 & 255, kind IS NULL, count(*) {_TURN} GROUP BY 1, 2"
_FROM = "(SELECT source FROM origins WHERE origins.id = first)"
_COUNT_BY_SOURCE = f"SELECT waiting.id >> 16 & 255, kind IS NULL, count(*), {_FROM} {_TURN} GROUP BY 1, 2, 4"
_COPY_ORIGINS = f"INSERT INTO origins SELECT waiting.id, {_FROM} {_TURN} AND {_FROM} IS NOT NULL"
_COPY = f"""
INSERT INTO outcomes SELECT waiting.id, outcomes.key, waiting.custom_id, kind, error, http_status, 0, 0, NULL, ?3,
    {"iif(kind IS NULL, 0, NULL), " * 5} body, checksum, dictionary, reply {_TURN}
"""
_DONE = "DELETE FROM waiting WHERE first IN (SELECT value FROM json_each(?1)) AND id <= ?2"
_NTH = "SELECT id FROM waiting WHERE first = ? ORDER BY id LIMIT 1 OFFSET ?"
_ALL = (1 << 63) - 1


class _Twin(NamedTuple):
    """A request that is not sent: a row of `waiting`."""

    first: int
    """Id of the outcome that it gets a copy of."""
    id: int
    custom_id: str | None


class Twins:
    """Keeps twins back, and gives them their outcomes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Prepare a checkpoint.

        Args:
            connection: the writer's; nobody else is using it yet.
        """
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(_INDEX)
        connection.execute(_WAITING)
        self._connection = connection
        self._sent: dict[_Question, int] = {}  # what is in flight, and not yet durable
        self._open: set[int] = set()  # the ids of these
        self._noted: deque[_Twin] = deque()  # for the writer
        self._awaited: dict[int, int] = {}  # first that is not settled → how many wait for it
        self._due: dict[int, int] = {}  # first that is settled → how many are to be copied

    # From the reader's thread.

    @property
    def is_behind(self) -> bool:
        """Whether the reader should wait for the writer."""
        return len(self._noted) >= _MOST_NOTED

    def firsts(self, batch: Sequence[A], id_of: Callable[[A], int], reader: sqlite3.Connection) -> list[A]:
        """Return those of a batch that are to be sent, and broken rows; keep the others back."""
        known: dict[_Question, int | None] = {}
        for each in batch:
            if isinstance(each, Request):
                known[each.key, each.sample] = self._sent.get((each.key, each.sample))
        # In this order: what leaves `_sent` from here on is durable, and found.
        known |= _settled([asked for asked, first in known.items() if first is None], reader)
        left = []
        for each in batch:
            if not isinstance(each, Request):
                left.append(each)
                continue
            asked = each.key, each.sample
            first = known[asked]
            if first is not None:
                self._noted.append(_Twin(first, id_of(each), each.custom_id))
                continue
            known[asked] = self._sent[asked] = number = id_of(each)
            self._open.add(number)
            left.append(each)
        return left

    # From the writer's thread.

    @property
    def are_due(self) -> bool:
        """Whether there is something for the writer to do."""
        return bool(self._noted or self._due)

    def copy(self, settled: Collection[int], *, with_sources: bool = False) -> list[Copied]:
        """Copy outcomes for twins, not too many of them. In a transaction, with these outcomes just inserted.

        Args:
            settled: ids of these outcomes.
            with_sources: whether an outcome may have a source: then its copies get it too.
        """
        for first in settled:
            if first in self._awaited:
                self._due[first] = self._awaited.pop(first)
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        insert_many(self._connection, "waiting", noted)
        new = settled if isinstance(settled, set) else set(settled)
        for twin in noted:
            waiting = self._awaited if twin.first in self._open and twin.first not in new else self._due
            waiting[twin.first] = waiting.get(twin.first, 0) + 1
        if not self._due:
            return []
        firsts, last = self._turn()
        turn = orjson.dumps(firsts).decode(), last
        counts = self._run(_COUNT_BY_SOURCE if with_sources else _COUNT, *turn)
        copied = [Copied(model, bool(is_completed), *rest) for model, is_completed, *rest in counts]
        self._run(_COPY, *turn, int(time.time() * 1000))
        if with_sources:
            self._run(_COPY_ORIGINS, *turn)
        self._run(_DONE, *turn)
        return copied

    def committed(self, settled: Iterable[tuple[bytes, int, int]]) -> None:
        """Take note that outcomes (key, sample, id) are durable: from now on they are found by the index."""
        for key, sample, number in settled:
            self._sent.pop((key, sample), None)
            self._open.discard(number)

    def failed(self) -> None:
        """Give up what waits, after a transaction was rolled back: the next run finds it again."""
        self._noted.clear()
        self._awaited.clear()
        self._due.clear()

    def _turn(self) -> tuple[list[int], int]:
        """Take the firsts whose twins are copied now; return them, and the id up to which that is done."""
        firsts: list[int] = []
        left = _AT_ONCE
        for first, rows in self._due.items():
            if rows > left:
                break
            firsts.append(first)
            left -= rows
        for first in firsts:
            del self._due[first]
        if firsts:
            return firsts, _ALL
        first = next(iter(self._due))  # has more twins than one commit should copy
        self._due[first] -= _AT_ONCE
        ((last,),) = self._run(_NTH, first, _AT_ONCE - 1)
        return [first], last

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)


def forget_twins(connection: sqlite3.Connection) -> None:
    """Drop what only `Twins` needs: keeping it up to date costs."""
    connection.execute(_NO_INDEX)


def _settled(asked: Sequence[_Question], reader: sqlite3.Connection) -> dict[_Question, int]:
    """Return the ids of outcomes that answer what is asked, of those that there are."""
    found: dict[_Question, int] = {}
    for sample in dict.fromkeys(sample for _, sample in asked):
        keys = [key for key, its in asked if its == sample]
        ((found_ids,),) = reader.execute(_FIND, (b"".join(keys), len(keys), sample))
        for place, number in (each.split() for each in (found_ids or "").split(",") if each):
            found[keys[int(place)], sample] = int(number)
    return found
