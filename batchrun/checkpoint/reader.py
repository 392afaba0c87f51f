"""Reads a checkpoint: facts, totals and outcomes, also while another process writes it."""

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from batchrun.checkpoint.batch_answers import Around, lines_around
from batchrun.checkpoint.batch_tables import BatchRow, read_batches
from batchrun.checkpoint.contents import Contents
from batchrun.checkpoint.facts import COPIES, STATED_AS_0, Fact, named
from batchrun.checkpoint.file import connect, damaged, translated
from batchrun.checkpoint.history import ExecutionTimes, read_history
from batchrun.checkpoint.in_flight import in_flight, owed_in
from batchrun.checkpoint.limit_history import EndpointLimit, last_limits, read_endpoint_limits
from batchrun.checkpoint.origins import Origins
from batchrun.checkpoint.sources import read_sources
from batchrun.checkpoint.tables import COUNTS, FILE_NAME, Asked, pack, unpack, unpack_all
from batchrun.checkpoint.totals import totals_of
from batchrun.records import AnswerSource, ModelTotals, Outcome, OutcomeColumns, Usage, parts_of

SET_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?)"

T = TypeVar("T")


def read_models(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the models by number."""
    return dict(connection.execute("SELECT id, name FROM models"))


def read_totals(connection: sqlite3.Connection) -> dict[str, ModelTotals]:
    """Return what each model's part adds up to."""
    rows = connection.execute(f"SELECT name, {', '.join(COUNTS)} FROM totals JOIN models ON model = id ORDER BY id")
    found, stated = {}, read_fact(connection, STATED_AS_0) or {}
    for name, *counts in rows:
        found[name] = totals_of(name, counts, frozenset(stated.get(name) or ()) & {*Usage._fields})
    return found


def read_parts(connection: sqlite3.Connection) -> dict[AnswerSource, ModelTotals]:
    """Return what each source of answers adds up to."""
    return parts_of(read_totals(connection), {each.source: each.totals for each in read_sources(connection)})


def read_fact(connection: sqlite3.Connection, fact: Fact[T]) -> T | None:
    """Return the value of a fact; None where it was not noted."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (fact.name,)).fetchone()
    try:
        return None if row is None else fact.decoded(row[0])
    except ValueError as problem:
        raise sqlite3.DatabaseError(str(problem)) from problem


def write_fact(connection: sqlite3.Connection, fact: Fact[T], value: T | None) -> None:
    """Store the value of a fact."""
    connection.execute(SET_FACT, (fact.name, fact.encoded(value)))


class Answered(NamedTuple):
    """What one answer has cost in tokens and time."""

    row: int
    model: str
    prompt_tokens: int | None
    latency_s: float | None
    key: bytes
    """Of the request."""


class Failures(NamedTuple):
    """The failed rows of one kind."""

    kind: str
    rows: int
    example: str | None
    """Message of one of them."""


class Checkpoint:
    """The checkpoint of a run directory, open for reading, as it was at the first query."""

    def __init__(self, directory: Path, *, skips_damaged: bool = False) -> None:
        """Open nothing yet; `skips_damaged` has `columns` leave outcomes out that have changed on the disk."""
        self.path = directory / FILE_NAME
        self._skips_damaged = skips_damaged
        self.left_out: set[int] = set()
        """The ids of those that were left out."""
        self.last_sample = 0
        """The highest number of a sample among what `columns` has read."""

    def __enter__(self) -> Self:
        self._connection = connect(self.path, read_only=True)
        try:
            with translated(self.path):
                self._connection.execute("BEGIN")  # one snapshot: totals and outcomes agree while a run writes
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def fact(self, fact: Fact[T]) -> T | None:
        """Return the value of a fact; None where it was not noted."""
        with translated(self.path):
            return read_fact(self._connection, fact)

    def check_facts(self) -> None:
        """Read every fact.

        Raises:
            DamagedError: one of them cannot be read.
        """
        with translated(self.path):
            for (name,) in self._connection.execute("SELECT name FROM facts").fetchall():
                read_fact(self._connection, named(name))

    def totals(self) -> dict[str, ModelTotals]:
        """Return what each model's part adds up to."""
        with translated(self.path):
            return read_totals(self._connection)

    def batches(self) -> list[BatchRow]:
        """Return the batches of the run, the first one first; none where it has never sent any."""
        with translated(self.path):
            return read_batches(self._connection)

    def parts(self) -> dict[AnswerSource, ModelTotals]:
        """Return what each source of answers adds up to: the parts of `totals`."""
        with translated(self.path):
            return read_parts(self._connection)

    def in_flight(self) -> int:
        """Return how many requests are in flight now; after a kill, how many were."""
        outcomes, copies = sum(sums.requests for sums in self.totals().values()), self.fact(COPIES) or 0
        return in_flight(owed_in(self.path.parent), outcomes, copies)

    def failures(self) -> list[Failures]:
        """Return the failed rows by kind, most first; reads no further than needed when there are none."""
        if not any(sums.failed for sums in self.totals().values()):
            return []
        query = "SELECT kind, count(*), min(error) FROM outcomes WHERE kind IS NOT NULL GROUP BY kind ORDER BY 2 DESC"
        with translated(self.path):
            return [Failures(*row) for row in self._connection.execute(query)]

    def limit(self) -> int:
        """Return the limit on requests in flight as it was noted last; 0 before that."""
        query = "SELECT requests FROM limits ORDER BY rowid DESC LIMIT 1"
        with translated(self.path):
            row = self._connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])

    def limits(self) -> Iterator[tuple[int, int]]:
        """Yield the history of the limit on requests in flight: Unix time in ms, and the limit."""
        with translated(self.path):
            yield from self._connection.execute("SELECT at_ms, requests FROM limits ORDER BY at_ms")

    def endpoint_limits(self) -> list[EndpointLimit]:
        """Return the limits of each endpoint of several, in the order of time; empty where there is one."""
        with translated(self.path):
            return list(read_endpoint_limits(self._connection))

    def last_limits(self) -> dict[str, int]:
        """Return the limit of each endpoint of several as it was noted last; none where there is one."""
        with translated(self.path):
            return last_limits(self._connection)

    def executions(self, *, is_running: bool) -> list[ExecutionTimes]:
        """Return when the run started, stopped and paused, over all its executions; none before version 2 of the file.

        Args:
            is_running: whether a process is working on the run; otherwise an execution without an end has died.
        """
        with translated(self.path):
            return read_history(self._connection, read_parts(self._connection), is_running=is_running)

    def throttles(self, start_ms: float, width_ms: float) -> dict[int, int]:
        """Return how many requests were throttled, by bins of the time at which their rows were settled."""
        if not any(sums.throttled for sums in self.totals().values()):
            return {}
        query = (
            "SELECT cast((finished_at_ms - ?) / ? AS INTEGER), sum(throttled) FROM outcomes WHERE throttled > 0 "
            "GROUP BY 1"
        )
        with translated(self.path):
            return dict(self._connection.execute(query, (start_ms, width_ms)))

    def answered(self, most: int) -> list[Answered]:
        """Return the first answers that were paid for, in the order of rows; at most `most`."""
        query = (
            "SELECT outcomes.id >> 24, name, prompt_tokens, latency_s, key FROM outcomes "
            "JOIN models ON models.id = outcomes.id >> 16 & 255 WHERE kind IS NULL AND attempts > 0 "
            "ORDER BY outcomes.id LIMIT ?"
        )
        with translated(self.path):
            return [Answered(*row) for row in self._connection.execute(query, (most,))]

    def settled(self, first: int, end: int, *, is_failed_left: bool = False) -> set[tuple[int, str, int]]:
        """Return row, model and sample of the outcomes from row `first` to below row `end`.

        Args:
            first: the first row.
            end: the row after the last.
            is_failed_left: whether failed rows do not count, since they will be sent again.
        """
        kinds = " AND kind IS NULL" if is_failed_left else ""
        query = f"SELECT id FROM outcomes WHERE id >= ? AND id < ?{kinds}"  # our own texts
        with translated(self.path):
            names = read_models(self._connection)
            numbers = self._connection.execute(query, (pack(first, 0, 0), pack(end, 0, 0)))
            places = [unpack(number) for (number,) in numbers]
        return {(row, names[model], sample) for row, model, sample in places}

    def settled_requests(self) -> Iterator[tuple[str, int]]:
        """Yield model and row of every request that has an outcome; broken rows are not requests."""
        with translated(self.path):
            names = read_models(self._connection)
            for (number,) in self._connection.execute("SELECT id FROM outcomes WHERE kind IS NOT 'bad_row'"):
                row, model, _ = unpack(number)
                yield names[model], row

    def settled_rows(self) -> "array[int]":
        """Return the numbers of the rows that have an outcome, in order."""
        with translated(self.path):
            query = "SELECT DISTINCT id >> 24 FROM outcomes ORDER BY 1"
            return array("q", (row for (row,) in self._connection.execute(query)))

    def fits(self, batch: Sequence[Asked]) -> bool:
        """Return whether the requests of a batch, in input order, are those that their outcomes answer."""
        if not batch:
            return True
        bounds = pack(batch[0].row, 0, 0), pack(batch[-1].row + 1, 0, 0)
        with translated(self.path):
            numbers = {name: number for number, name in read_models(self._connection).items()}
            keys = dict(self._connection.execute("SELECT id, key FROM outcomes WHERE id >= ? AND id < ?", bounds))
        places = ((each, numbers.get(each.model)) for each in batch)
        return all(
            number is None or keys.get(pack(each.row, number, each.sample), each.key) == each.key
            for each, number in places
        )

    def columns(self, *, row: int | None = None, is_failed: bool = False) -> Iterator[OutcomeColumns]:
        """Yield outcomes in the order of row, model and sample, as columns of bounded length, none empty.

        The columns are named as the fields of `Outcome` and `Usage`; `run` is the run that an answer was taken from,
        or empty.

        Args:
            row: only the outcomes of this input row; of all rows unless given.
            is_failed: only failures.
        """
        first, end = (0, 1 << 63 - 1) if row is None else (pack(row, 0, 0), pack(row + 1, 0, 0))
        with translated(self.path):
            models = read_models(self._connection)
            origins = Origins(self._connection)
            contents = Contents(self._connection, self.path)
            left_out = self.left_out if self._skips_damaged else None
            for columns in contents.pieces(first, end, is_failed=is_failed, left_out=left_out):
                sources = origins.columns(columns["id"])
                yield self._placed(columns, models) | sources

    def around(self, columns: OutcomeColumns) -> list[Around]:
        """Return what stands around the answers of such columns; see `lines_around`."""
        with translated(self.path):
            return lines_around(self._connection, columns, read_models(self._connection))

    def outcomes(self, *, row: int | None = None) -> Iterator[list[Outcome]]:
        """Yield outcomes in the order of row, model and sample, in lists of bounded length, none empty.

        Args:
            row: only the outcomes of this input row; of all rows unless given.
        """
        own = [name for name in Outcome._fields if name not in ("usage", "reply", "place")]
        for columns in self.columns(row=row):
            usages = map(Usage._make, zip(*(columns[name] for name in Usage._fields), strict=True))
            yield [
                Outcome(**dict(zip(own, values, strict=True)), usage=usage)
                for usage, *values in zip(usages, *(columns[name] for name in own), strict=True)
            ]

    def _placed(self, columns: OutcomeColumns, models: dict[int, str]) -> OutcomeColumns:
        rows_of, models_of, samples_of = unpack_all(columns.pop("id"))
        self.last_sample = max(self.last_sample, max(samples_of))
        try:
            columns |= {"row": rows_of, "model": [models[number] for number in models_of], "sample": samples_of}
        except KeyError as unknown:
            raise damaged(self.path, f"an outcome has the model number {unknown}, which has no name") from None
        return columns
