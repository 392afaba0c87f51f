"""The batches of a run, and which requests are in them: noted before anybody relies on it.

A request that is in a batch, or waits for the next one, has a line; a line leaves in the transaction that finds its
outcome on the disk. So a request has an outcome, or a line, or was never sent. Besides, a batch may have lines that are
for no request of the job, since it was edited. A change is queued like an outcome; `committed` waits until it is in the
file.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from batchrun.checkpoint.batch_tables import AnswerRow, BatchRow
from batchrun.checkpoint.file import connect, translated
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.totals import Extra
from batchrun.records import BatchLine, Outcome, Request

_COLUMNS = ", ".join(BatchLine._fields)
_MOST_LINES = 200  # in one statement
_LINES = "INSERT OR REPLACE INTO batch_lines VALUES "
_MARKS = f"({', '.join('?' * len(BatchLine._fields))})"
_MOST_IDS = 500


PUT_BACK = (
    "DELETE FROM batch_lines WHERE batch = ? AND id IS NULL",
    "UPDATE OR REPLACE batch_lines SET batch = 0, place = id WHERE batch = ?",
    "DELETE FROM batches WHERE id = ?",
)
"""Forget a batch that was not sent; what is in it waits for the next one."""


class BatchLog:
    """Writes and reads the batches of one checkpoint."""

    def __init__(
        self, path: Path, queue: WriteQueue, models: ModelNumbers, refresh: Callable[[], None] = lambda: None
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            path: of the checkpoint.
            queue: of its writer.
            models: their numbers.
            refresh: has what was settled meanwhile seen by those who read the input again.
        """
        self._path, self._queue, self._models = path, queue, models
        self.refresh = refresh
        self.number_of = models.number_of
        self.id_of = models.id_of
        self._reader: sqlite3.Connection | None = None
        self._lock = threading.Lock()  # SQLite crashes where a connection is closed that another thread is using

    # The event loop: never waits, but in `committed`.

    def note(self, batch: BatchRow) -> None:
        """Have a batch written, in the place of what was known of it."""
        self._queue.run(f"INSERT OR REPLACE INTO batches VALUES ({', '.join('?' * len(batch))})", *batch)

    def add_lines(self, lines: Sequence[BatchLine]) -> None:
        """Have lines written, each in the place of one that waited; one of another batch is for no request any more."""
        for first in range(0, len(lines), _MOST_IDS):
            ids = [line.id for line in lines[first : first + _MOST_IDS]]
            are_these = f"id IN ({', '.join('?' * len(ids))})"  # only question marks
            self._queue.run(f"DELETE FROM batch_lines WHERE batch = 0 AND {are_these}", *ids)
            self._queue.run(f"UPDATE batch_lines SET id = NULL WHERE {are_these}", *ids)
        for statement in _insertions(lines):
            self._queue.run(*statement)

    def keep(self, answers: Sequence[AnswerRow]) -> None:
        """Have what stands around answers written; their outcomes were put before."""
        for row in answers:
            self._queue.run("INSERT OR REPLACE INTO batch_answers VALUES (?, ?, ?, ?, ?)", *row)

    def retire(self, line: BatchLine, outcome: Outcome) -> None:
        """Have the outcome of a line kept that is for no request of the job; the line leaves with it."""
        self._models.number_of(outcome.model)  # it may have left the job
        used = Extra(outcome.model, outcome.usage, outcome.attempts, outcome.throttled, outcome.endpoint)
        leaves = "DELETE FROM batch_lines WHERE batch = ? AND place = ?", (line.batch, line.place)
        self._queue.run_together([leaves], [used], [outcome])

    def put_back(self, batch: int) -> None:
        """Forget a batch that was not sent; what is in it waits for the next one."""
        for statement in PUT_BACK:
            self._queue.run(statement, batch)

    def collected(self, batch: BatchRow, again: Sequence[BatchLine], extras: Iterable[Extra]) -> None:
        """Have a batch noted as collected, in one transaction. Its outcomes must be committed.

        Args:
            batch: as it ended.
            again: its lines that wait for the next one.
            extras: what answers have used that are not in an outcome.
        """
        note = (f"INSERT OR REPLACE INTO batches VALUES ({', '.join('?' * len(batch))})", tuple(batch))
        forget = ("DELETE FROM batch_lines WHERE batch = ?", (batch.id,))
        statements = [note, forget, *((sql, tuple(values)) for sql, *values in _insertions(again))]
        self._queue.run_together(statements, list(extras))

    def hand_over(self, extras: Iterable[Extra]) -> None:
        """Have the lines forgotten that wait for the next batch: other requests are sent in their place."""
        self._queue.run_together([("DELETE FROM batch_lines WHERE batch = 0", ())], list(extras))

    async def committed(self) -> None:
        """Wait until all that was queued is in the file, and on the disk."""
        ticket = self._queue.ticket()
        while not self._queue.is_written(ticket):  # noqa: ASYNC110  # the writer is a thread
            await asyncio.sleep(0.005)
        await asyncio.to_thread(self._force)

    def _force(self) -> None:
        log = self._path.with_name(self._path.name + "-wal")
        with contextlib.suppress(OSError):  # another thread forces it too, and reports what fails
            handle = os.open(log, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    # Any thread.

    def close(self) -> None:
        """Close the connection, when no other thread is using it."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self._reader = None

    def batches(self) -> list[BatchRow]:
        """Return all batches, the first one first."""
        return [BatchRow(*row) for row in self._read("SELECT * FROM batches ORDER BY id")]

    def lines(self, batch: int) -> list[tuple[BatchLine, bool]]:
        """Return the lines of a batch, and of each whether its request has the outcome already.

        A line whose request was answered otherwise (copied, or by another run) is for no request.
        """
        query = (
            f"SELECT {', '.join(f'batch_lines.{name}' for name in BatchLine._fields)}, outcomes.id IS NOT NULL, "
            "outcomes.kind IS NULL AND outcomes.attempts = 0 "
            "FROM batch_lines LEFT JOIN outcomes ON outcomes.id = batch_lines.id WHERE batch = ?"
        )
        lines = []
        for *values, has_outcome, is_other in self._read(query, batch):
            line = BatchLine(*values)
            lines.append((line._replace(id=None) if is_other else line, bool(has_outcome and not is_other)))
        return lines

    def waiting(self, closed: Collection[str] = ()) -> tuple[int, list[Extra]]:
        """Return how many lines wait for the next batch, and the attempts that were made for all that are in none.

        Args:
            closed: models that nothing more is sent to: their lines wait for no batch.
        """
        query = (
            "SELECT id >> 16 & 255, count(*), sum(attempts), sum(throttled) FROM batch_lines WHERE batch = 0 GROUP BY 1"
        )
        names = {number: name for name, number in self._models.numbers.items()}
        rows = self._read(query)
        extras = [Extra(names[model], attempts=made, throttled=throttled) for model, _, made, throttled in rows]
        count = sum(count for model, count, _, _ in rows if names[model] not in closed)
        return count, [each for each in extras if each.attempts]

    def to_send(self, requests: Sequence[Request]) -> list[tuple[Request, BatchLine | None]]:
        """Return those of some requests that are neither settled nor in a batch; with the line of one that was."""
        by_id = {self._models.id_of(each): each for each in requests}
        ids, lines, settled = list(by_id), dict[int, BatchLine](), set[int]()
        for first in range(0, len(ids), _MOST_IDS):
            some = ids[first : first + _MOST_IDS]
            are_these = f"WHERE id IN ({', '.join('?' * len(some))})"  # only question marks
            for values in self._read(f"SELECT {_COLUMNS} FROM batch_lines {are_these}", *some):
                line = BatchLine(*values)
                assert line.id is not None
                lines[line.id] = line
            settled.update(number for (number,) in self._read(f"SELECT id FROM outcomes {are_these}", *some))
        left: list[tuple[Request, BatchLine | None]] = []
        for number, request in by_id.items():
            found = lines.get(number)
            if found is not None and found.key != request.key:
                found = None  # of another text in the place of this one
            if number not in settled and (found is None or found.batch == 0):
                left.append((request, found))
        return left

    def _read(self, query: str, *values: Any) -> list[Any]:
        with self._lock, translated(self._path):
            if self._reader is None:
                self._reader = connect(self._path)
            return self._reader.execute(query, values).fetchall()


def _insertions(lines: Sequence[BatchLine]) -> Iterable[Any]:
    """Yield statements that insert lines, each with its values behind it."""
    for first in range(0, len(lines), _MOST_LINES):
        some = lines[first : first + _MOST_LINES]
        yield (_LINES + ", ".join([_MARKS] * len(some)), *(value for line in some for value in line))
