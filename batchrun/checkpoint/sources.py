"""Where the answers of a run come from, and what those of each source add up to.

Written only for what has an endpoint's name, or another model or run than was asked: with one endpoint there is
nothing to write. A source is one row, with its totals; an outcome refers to it by `origins`. All else that was settled
comes from the only endpoint: the difference to the totals of the model.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from batchrun.checkpoint.ready import Part
from batchrun.checkpoint.tables import COUNTS, insert_many
from batchrun.checkpoint.totals import Copied, Extra, Sums, added, totals_of, with_rows
from batchrun.records import AnswerSource, ModelTotals, Outcome, Usage, named_endpoint

_READ = f"SELECT sources.id, name, endpoint, answered_by, run, {', '.join(COUNTS)}, stated_as_0 FROM sources"
_READ_ALL = f"{_READ} JOIN models ON models.id = model ORDER BY model, sources.id"  # only names of columns
_WRITE = f"INSERT OR REPLACE INTO sources VALUES ({', '.join('?' * (6 + len(COUNTS)))})"  # question marks

_COUNT_NONE = "UPDATE sources SET completed = 0, failed = 0"
_COUNT = """
UPDATE sources SET completed = counted.completed, failed = counted.failed FROM (
    SELECT source, sum(kind IS NULL) AS completed, sum(kind IS NOT NULL) AS failed
    FROM origins JOIN outcomes USING (id) GROUP BY 1
) AS counted WHERE sources.id = counted.source
"""


class StoredSource(NamedTuple):
    """A source, its number in the checkpoint, and what its answers add up to."""

    number: int
    source: AnswerSource
    totals: ModelTotals


def read_sources(connection: sqlite3.Connection) -> list[StoredSource]:
    """Return all sources, by model in the order of their numbers."""
    return [_stored(*row) for row in connection.execute(_READ_ALL)]


def recount(connection: sqlite3.Connection) -> None:
    """Count the rows of each source again, after outcomes have left or come; keep what was paid."""
    connection.execute(_COUNT_NONE)
    connection.execute(_COUNT)


def _stored(number: int, model: str, endpoint: str, answered_by: str, run: str, *values: Any) -> StoredSource:
    *counts, stated = values
    try:
        zeros = frozenset(orjson.loads(stated)) & {*Usage._fields}
        totals = totals_of(model, counts, zeros)
    except (orjson.JSONDecodeError, TypeError) as problem:
        raise sqlite3.DatabaseError(f"the totals of a source of {model} cannot be read") from problem
    return StoredSource(number, AnswerSource(model, endpoint, answered_by, run), totals)


class Sources:
    """The sources of one checkpoint, for its writer."""

    def __init__(self) -> None:
        self.totals: dict[AnswerSource, ModelTotals] = {}
        """What the answers of each source add up to: of what is committed."""
        self._numbers: dict[AnswerSource, int] = {}
        self._pending: dict[AnswerSource, ModelTotals] = {}
        self.stored_as: Mapping[str, str] = {}
        """By name of an endpoint, the name that its answers are stored under, where it is another one."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Read what the checkpoint has."""
        stored = read_sources(connection)
        self.totals = {each.source: each.totals for each in stored}
        self._numbers = {each.source: each.number for each in stored}
        self._pending = {}

    @property
    def are_any(self) -> bool:
        """Whether an outcome may have a source."""
        return bool(self._numbers)

    def insert(
        self,
        connection: sqlite3.Connection,
        parts: Sequence[Part],
        extras: Iterable[Extra],
        run: str = "",
    ) -> None:
        """Write where outcomes come from, in the open transaction; `write_totals` follows.

        Args:
            connection: to the checkpoint.
            parts: the outcomes; most of them may have no source.
            extras: attempts and tokens that are in no outcome.
            run: that all the outcomes were taken from; empty where they were sent for this one.
        """
        self._pending = {}
        are_all_placed = bool(run) or "" in self.stored_as
        for part in parts:
            if are_all_placed or any(part.source[1:]):
                self._insert(connection, part, run)
        for extra in extras:
            source = AnswerSource(extra.model, self._stored(extra.endpoint), extra.answered_by)
            if any(source[1:]):
                self._add(source, [], [extra])

    def note(self, connection: sqlite3.Connection, outcome: Outcome, number: int) -> None:
        """Write where an outcome comes from that is under another number; what it has used is added as an extra."""
        source = AnswerSource(outcome.model, self._stored(outcome.endpoint), outcome.answered_by)
        if any(source[1:]):
            origin = number, self._numbers.get(source) or self._new_number(source)
            connection.execute("INSERT INTO origins VALUES (?, ?)", origin)

    def write_totals(self, connection: sqlite3.Connection, copied: Iterable[Copied], models: Mapping[str, int]) -> None:
        """Write the totals that have changed, with those of outcomes that were copied meanwhile."""
        sources = {number: source for source, number in self._numbers.items()}
        for each in copied:
            if each.source is not None:
                source = sources[each.source]
                self._pending[source] = with_rows(self._sums(source), each)
        for source, sums in self._pending.items():
            number = self._numbers.get(source) or self._new_number(source)
            write_source(connection, number, models[source.model], source, sums)

    def committed(self) -> None:
        """Take note that what was written is durable."""
        if self._pending:
            self.totals, self._pending = {**self.totals, **self._pending}, {}

    def _insert(self, connection: sqlite3.Connection, part: Part, run: str) -> None:
        source = part.source._replace(endpoint=self._stored(part.source.endpoint), run=run)
        number = self._numbers.get(source) or self._new_number(source)
        insert_many(connection, "origins", [(each, number) for each in part.ids])
        self._add(source, [part.sums], [])

    def _stored(self, endpoint: str) -> str:
        if not self.stored_as:
            return endpoint
        name = named_endpoint(endpoint)
        return self.stored_as.get(name, name) + endpoint.removeprefix(name)

    def _add(self, source: AnswerSource, sums: Iterable[Sums], extras: Iterable[Extra]) -> None:
        before = {source.model: self._sums(source)}
        named = [(source.model, each) for each in sums]
        self._pending[source] = added(before, named, extras)[source.model]

    def _sums(self, source: AnswerSource) -> ModelTotals:
        return self._pending.get(source) or self.totals.get(source) or ModelTotals()

    def _new_number(self, source: AnswerSource) -> int:
        """Return the next number, for a source that has none. It is stored with its totals."""
        number = self._numbers[source] = max(self._numbers.values(), default=0) + 1
        return number


def write_source(
    connection: sqlite3.Connection, number: int, model: int, source: AnswerSource, sums: ModelTotals
) -> None:
    """Replace a source and its totals; `model` is the number of its model."""
    counts = (getattr(sums, name) for name in COUNTS)
    stated = orjson.dumps(sorted(sums.stated_as_0)).decode()
    connection.execute(_WRITE, (number, model, *source[1:], *counts, stated))
