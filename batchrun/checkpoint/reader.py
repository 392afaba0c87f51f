"""The checkpoint read: facts, totals and outcomes, also while another process writes it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from batchrun.checkpoint.schema import FILE_NAME, OUTCOME_COLUMNS, connect, translated, unpack
from batchrun.records import ModelTotals, Outcome, Usage

COUNTS = tuple(field for field in ModelTotals._fields if field != "requests")
"""Columns of `totals`; `requests` is the sum of two of them."""

_ROWS = 500
_BYTES = 16 << 20
"""Most outcomes, and most bytes of answers, that are read at once."""


def read_models(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the models by number."""
    return dict(connection.execute("SELECT id, name FROM models"))


def read_totals(connection: sqlite3.Connection) -> dict[str, ModelTotals]:
    """Return what each model's part adds up to."""
    rows = connection.execute(f"SELECT name, {', '.join(COUNTS)} FROM totals JOIN models ON model = id ORDER BY id")
    found = {}
    for name, *counts in rows:
        sums = dict(zip(COUNTS, counts, strict=True))
        found[name] = ModelTotals(requests=sums["completed"] + sums["failed"], **sums)
    return found


def read_fact(connection: sqlite3.Connection, name: str) -> Any:
    """Return a fact of the run, or None."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else orjson.loads(row[0])


class Checkpoint:
    """The checkpoint of a run directory, open for reading."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def __enter__(self) -> Self:
        self._connection = connect(self.path, read_only=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def fact(self, name: str) -> Any:
        """Return a fact of the run, or None."""
        with translated(self.path):
            return read_fact(self._connection, name)

    def totals(self) -> dict[str, ModelTotals]:
        """Return what each model's part adds up to."""
        with translated(self.path):
            return read_totals(self._connection)

    def outcomes(self) -> Iterator[list[Outcome]]:
        """Yield every outcome in the order of row, model and sample, in lists of bounded size."""
        with translated(self.path):
            models = read_models(self._connection)
            rows: list[Outcome] = []
            size = 0
            for row in self._connection.execute(f"SELECT {', '.join(OUTCOME_COLUMNS)} FROM outcomes ORDER BY id"):
                rows.append(_outcome(row, models))
                size += len(row[-1] or b"")
                if len(rows) >= _ROWS or size >= _BYTES:
                    yield rows
                    rows, size = [], 0
            yield rows


def _outcome(columns: tuple[Any, ...], models: dict[int, str]) -> Outcome:
    number, key, custom_id, kind, error, http_status, attempts, throttled, latency_s, finished_at_ms, *tokens, body = (
        columns
    )
    row, model, sample = unpack(number)
    return Outcome(
        row,
        models[model],
        sample,
        key,
        custom_id,
        kind,
        error,
        http_status,
        attempts,
        latency_s,
        finished_at_ms,
        body,
        Usage(*tokens),
        throttled,
    )
