"""Answers of other runs: which of them answer requests of this one, and what they are.

Theory of operation. What is asked and what was answered are listed in temporary tables on disk, since there may be as
many as there are rows. A request is known by its key and its sample. The key has the name that a job gives to the
model; where jobs give it several names, `alike` has the keys under all of them, each with what they have in common, and
models of one group are the same one under several names. Requests that are the same get different answers,
the n-th one the n-th, as if they were sent: an answer is used once. Only where requests that ask the same are sent
once (`dedupe`) do all of them get the first; of models of one group, each has an answer of its own.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

import orjson

from batchrun.checkpoint.contents import Contents
from batchrun.checkpoint.file import damaged, translated
from batchrun.checkpoint.reader import Checkpoint, read_models
from batchrun.checkpoint.sources import read_sources
from batchrun.checkpoint.tables import OUTCOME_COLUMNS, unpack
from batchrun.records import AnswerSource

_TABLES = """
CREATE TABLE asked (place INTEGER PRIMARY KEY, key BLOB NOT NULL, sample INTEGER NOT NULL, custom_id TEXT);
CREATE TABLE alike (key BLOB PRIMARY KEY, ask BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE groups (model INTEGER PRIMARY KEY, "group" INTEGER NOT NULL, rank INTEGER NOT NULL);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY, "group" INTEGER NOT NULL, key BLOB NOT NULL, sample INTEGER NOT NULL
);
CREATE TABLE used ("group" INTEGER NOT NULL, key BLOB NOT NULL, sample INTEGER NOT NULL, count INTEGER NOT NULL);
CREATE TABLE pairs (place INTEGER PRIMARY KEY, number INTEGER NOT NULL);
"""

_ONE_EACH = """row_number() OVER (PARTITION BY "group", ask, sample ORDER BY place) + coalesce(count, 0)"""
_SAME_FOR_ALL = "rank"

_PAIR = """
INSERT INTO pairs WITH wanted AS (
    SELECT place, "group", coalesce(ask, key) AS ask, sample, rank
    FROM asked JOIN groups ON model = place >> 16 & 255 LEFT JOIN alike USING (key)
), taken AS (
    SELECT "group", coalesce(ask, key) AS ask, sample, sum(count) AS count
    FROM used LEFT JOIN alike USING (key) GROUP BY 1, 2, 3
), given AS (
    SELECT number, "group", coalesce(ask, key) AS ask, sample FROM answers LEFT JOIN alike USING (key)
)
SELECT place, number
FROM (SELECT place, "group", ask, sample, {turn} AS turn FROM wanted LEFT JOIN taken USING ("group", ask, sample))
JOIN (
    SELECT number, "group", ask, sample, row_number() OVER (PARTITION BY "group", ask, sample ORDER BY number) AS turn
    FROM given
) USING ("group", ask, sample, turn)
"""

_USED = """
SELECT name, key, outcomes.id & 65535, count(*) FROM sources JOIN models ON models.id = model
JOIN origins ON source = sources.id JOIN outcomes ON outcomes.id = origins.id WHERE run = ? GROUP BY 1, 2, 3
"""

_FROM = "FROM outcomes LEFT JOIN origins USING (id)"
_ANSWERED = f"SELECT id, key, source {_FROM} WHERE kind IS NULL AND (body IS NOT NULL OR reply IS NOT NULL)"
_OWN = ", ".join(f"outcomes.{name}" for name in OUTCOME_COLUMNS)
_READ = f"SELECT source, {_OWN} {_FROM} WHERE id IN (SELECT value FROM json_each(?))"

_AT_ONCE = 500
"""Answers that are read and handed on together: they are in memory."""


class Found(NamedTuple):
    """An answer of another run to a request of this one."""

    row: int
    model: int
    """The number that the caller gave it."""
    sample: int
    key: bytes
    custom_id: str | None
    endpoint: str
    """Name of the endpoint in this job that the answer counts for."""
    http_status: int | None
    body: bytes
    is_of_fallback: bool = False
    """Whether a fallback gave it, and not the model itself."""


class Requests:
    """The requests that are looked for in other runs."""

    def __init__(self, *, shares_answers: bool) -> None:
        """Begin with none.

        Args:
            shares_answers: whether requests that ask the same get the same answer (`dedupe`).
        """
        self._turn = _SAME_FOR_ALL if shares_answers else _ONE_EACH
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.executescript(f"PRAGMA journal_mode = OFF; {_TABLES} BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, listed: Iterable[tuple[int, bytes, int, str | None]]) -> None:
        """Add requests: the number of their place, as `pack` makes it, their key, sample and label."""
        self._connection.executemany("INSERT INTO asked VALUES (?, ?, ?, ?)", listed)

    def add_alike(self, keys: Iterable[tuple[bytes, bytes]]) -> None:
        """Add keys of the same request under several names of its model, each with what these have in common."""
        self._connection.executemany("INSERT OR IGNORE INTO alike VALUES (?, ?)", keys)

    def keep(self, is_wanted: Callable[[int, int], bool]) -> None:
        """Keep only requests whose row and number of the model are wanted."""
        self._connection.create_function("is_wanted", 2, is_wanted)
        self._connection.execute("DELETE FROM asked WHERE NOT is_wanted(place >> 24, place >> 16 & 255)")

    def pair(
        self,
        answers: Iterable[tuple[int, int, bytes, int]],
        used: Iterable[tuple[int, bytes, int, int]],
        groups: Iterable[tuple[int, int, int]],
    ) -> int:
        """Pair the requests with the answers of a run; return how many have one. `found` has them.

        Args:
            answers: number, group, key and sample of each.
            used: groups, keys and samples, and how many of their answers were taken before.
            groups: numbers of models that the run has answers for, their group, and their rank in it, from 1.
        """
        for table in ("answers", "used", "groups", "pairs"):
            self._connection.execute(f"DELETE FROM {table}")  # our own names
        self._connection.executemany("INSERT INTO groups VALUES (?, ?, ?)", groups)
        self._connection.executemany("INSERT INTO answers VALUES (?, ?, ?, ?)", answers)
        self._connection.executemany("INSERT INTO used VALUES (?, ?, ?, ?)", used)
        return self._connection.execute(_PAIR.format(turn=self._turn)).rowcount

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield row and number of the model of every request that has an answer."""
        for (place,) in self._connection.execute("SELECT place FROM pairs"):
            row, model, _ = unpack(place)
            yield row, model

    def forget_paired(self) -> None:
        """Look for the paired requests no more."""
        self._connection.execute("DELETE FROM asked WHERE place IN (SELECT place FROM pairs)")

    def pairs(self) -> Iterator[list[tuple[int, bytes, str | None, int]]]:
        """Yield place, key, label and number of the answer, in the order of these numbers, some at a time."""
        query = "SELECT place, key, custom_id, number FROM pairs JOIN asked USING (place) ORDER BY number, place"
        cursor = self._connection.execute(query)
        while pairs := cursor.fetchmany(_AT_ONCE):
            yield pairs


class RunAnswers(Checkpoint):
    """The answers of a run, open for reading: of another one, or what this one has taken from others."""

    def used(self, run: str) -> list[tuple[str, bytes, int, int]]:
        """Return model, key and sample of the answers that were taken from a run before, and how many."""
        with translated(self.path):
            return self._connection.execute(_USED, (run,)).fetchall()

    def answer_sources(self) -> list[AnswerSource]:
        """Return where its answers may come from."""
        with translated(self.path):
            models = read_models(self._connection).values()
            return [*map(AnswerSource, models), *(each.source for each in read_sources(self._connection))]

    def answers(self, group_of: Callable[[AnswerSource], int | None]) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield number, group, key and sample of each answer that may be taken: of what was completed, nothing else.

        Args:
            group_of: the group of the models of this job that the answers of a source count for; None: of none.
        """
        with translated(self.path):
            source_of = self._source_of()
            groups: dict[tuple[int, int | None], int | None] = {}
            for number, key, source in self._connection.execute(_ANSWERED):
                _, model, sample = unpack(number)
                if (model, source) not in groups:
                    groups[model, source] = group_of(source_of(model, source))
                if (group := groups[model, source]) is not None:
                    yield number, group, key, sample

    def found(
        self, requests: Requests, endpoint_of: Callable[[int, AnswerSource], str | None]
    ) -> Iterator[list[Found]]:
        """Yield the answers that `requests` was paired with, some at a time, none empty.

        Args:
            requests: which were paired.
            endpoint_of: the endpoint of this job that the answers of a source count for when the model with this number
                is asked; None: they do not count.
        """
        with translated(self.path):
            source_of = self._source_of()
            contents = Contents(self._connection, self.path)
            for pairs in requests.pairs():
                numbers = orjson.dumps([number for *_, number in pairs]).decode()
                found = self._connection.execute(_READ, (numbers,)).fetchall()
                columns = contents.columns([stored for _, *stored in found])
                stated = zip((source for source, *_ in found), columns["http_status"], columns["body"], strict=True)
                answers = dict(zip(columns["id"], stated, strict=True))
                if not answers.keys() >= {number for *_, number in pairs}:
                    raise damaged(self.path, "its rows are not in the order of their numbers")
                listed = []
                for place, key, label, number in pairs:
                    of, status, body = answers[number]
                    row, model, sample = unpack(place)
                    source = source_of(unpack(number)[1], of)
                    if (endpoint := endpoint_of(model, source)) is not None:
                        is_of_fallback = bool(source.answered_by)
                        listed.append(Found(row, model, sample, key, label, endpoint, status, body, is_of_fallback))
                if listed:
                    yield listed

    def _source_of(self) -> Callable[[int, int | None], AnswerSource]:
        """Return what tells where answers come from by the number of a model and that of a source."""
        models = read_models(self._connection)
        sources = {each.number: each.source for each in read_sources(self._connection)}

        def source_of(model: int, source: int | None) -> AnswerSource:
            return sources.get(source or 0, AnswerSource(""))._replace(model=models.get(model, ""))

        return source_of
