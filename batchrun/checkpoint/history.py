"""When a run started, stopped and paused, over all its executions: the only place that knows.

An execution that died has no end: nobody was there to write it. The same holds for a pause that it died in.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from batchrun.checkpoint.queue import WriteQueue

_BEGIN = "INSERT INTO executions VALUES (?, ?, NULL, NULL, NULL, NULL)"
_END = "UPDATE executions SET ended_at_ms = ?, state = ?, message = ? WHERE id = ?"
_SEEN = "UPDATE executions SET seen_at_ms = ? WHERE id = ?"
_PAUSE = "INSERT INTO pauses VALUES (?, ?, ?, ?, NULL, ?)"
_RESUME = "UPDATE pauses SET ended_at_ms = ? WHERE execution = ? AND model = ? AND ended_at_ms IS NULL"
_RESUME_ALL = "UPDATE pauses SET ended_at_ms = ? WHERE execution = ? AND ended_at_ms IS NULL"


class PauseTimes(NamedTuple):
    """A pause: nothing worked of a model, and its rows waited."""

    model: str
    kind: str
    """Kind of the failure that it began with."""
    started_at_ms: int
    """Unix time, as all times here."""
    ended_at_ms: int | None
    """None: it has not ended, or its execution died in it."""
    message: str = ""
    """Message of that failure."""


class ExecutionTimes(NamedTuple):
    """One execution: from its first request to the last of what it had sent."""

    started_at_ms: int
    ended_at_ms: int | None
    """None: it is running, or died."""
    state: str
    """`running`, `died`, or how it ended, as in run.json: `completed`, `stopped`, `interrupted`."""
    pauses: tuple[PauseTimes, ...]
    message: str = ""
    """Why it stopped; empty when it completed or died."""
    seen_at_ms: int | None = None
    """When it was last known to run; noted every few seconds."""

    @property
    def open_pauses(self) -> tuple[PauseTimes, ...]:
        """The pauses that have not ended."""
        return tuple(each for each in self.pauses if each.ended_at_ms is None)

    def running_ms(self, now_ms: int) -> int:
        """Return how long it has run: until now if it is running, until it was last seen if it died."""
        end_ms = now_ms if self.state == "running" else self.ended_at_ms or self.seen_at_ms or self.started_at_ms
        return max(0, end_ms - self.started_at_ms)


def running_s(executions: Iterable[ExecutionTimes], now_ms: int) -> float:
    """Return how many seconds executions have run in all, without the time between them."""
    return sum(each.running_ms(now_ms) for each in executions) / 1000


class History:
    """Writes the history of one execution, through the writer's thread."""

    def __init__(self, queue: WriteQueue) -> None:
        self._queue = queue
        self._execution = 0  # its number

    def load(self, connection: sqlite3.Connection) -> None:
        """Take the next number for this execution."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM executions").fetchone()
        self._execution = last + 1

    def begin_execution(self, at_ms: int) -> None:
        """Note that the execution begins to send."""
        self._queue.run(_BEGIN, self._execution, at_ms)

    def seen(self, at_ms: int) -> None:
        """Note that the execution is still running."""
        self._queue.run(_SEEN, at_ms, self._execution)

    def end_execution(self, at_ms: int, state: str, message: str = "") -> None:
        """Note that it has ended, how and why; its open pauses end with it."""
        self._queue.run(_END, at_ms, state, _storable(message), self._execution)
        self._queue.run(_RESUME_ALL, at_ms, self._execution)

    def paused(self, model: str, kind: str, at_ms: int, message: str = "") -> None:
        """Note that a model is paused, after a failure of this kind and with this message."""
        self._queue.run(_PAUSE, self._execution, model, kind, at_ms, _storable(message))

    def resumed(self, model: str, at_ms: int) -> None:
        """Note that a model is sent requests again."""
        self._queue.run(_RESUME, at_ms, self._execution, model)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def read_history(connection: sqlite3.Connection, *, is_running: bool) -> list[ExecutionTimes]:
    """Return all executions of a run, oldest first.

    Args:
        connection: to its checkpoint.
        is_running: whether the last execution is running; without it, an execution without an end has died.
    """
    pauses: dict[int, list[PauseTimes]] = {}
    for number, *times in connection.execute("SELECT * FROM pauses ORDER BY started_at_ms, rowid"):
        pauses.setdefault(number, []).append(PauseTimes(*times))
    rows = connection.execute("SELECT * FROM executions ORDER BY id").fetchall()
    last = rows[-1][0] if rows else 0
    return [
        ExecutionTimes(
            started_at_ms=started_at_ms,
            ended_at_ms=ended_at_ms,
            state=state or ("running" if is_running and number == last else "died"),
            pauses=tuple(pauses.get(number, ())),
            message=message or "",
            seen_at_ms=seen_at_ms,
        )
        for number, started_at_ms, ended_at_ms, state, message, seen_at_ms in rows
    ]
