"""When a run started, stopped and paused, over all its executions, and what each settled: the only place that knows.

An execution that died has no end: nobody was there to write it. The same holds for a pause that it died in. What it
settled is known anyway: it is what was in the checkpoint when the next execution opened it, or is in it now.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from batchrun.checkpoint.queue import WriteQueue
from batchrun.records import ModelTotals
from batchrun.storage.processes import Machine, this_machine

_BEGIN = "INSERT INTO executions VALUES (?, ?, NULL, NULL, NULL, NULL)"
_END = "UPDATE executions SET ended_at_ms = ?, state = ?, message = ? WHERE id = ?"
_SEEN = "UPDATE executions SET seen_at_ms = ? WHERE id = ?"
_PAUSE = "INSERT INTO pauses VALUES (?, ?, ?, ?, NULL, ?)"
_RESUME = "UPDATE pauses SET ended_at_ms = ? WHERE execution = ? AND model = ? AND ended_at_ms IS NULL"
_RESUME_ALL = "UPDATE pauses SET ended_at_ms = ? WHERE execution = ? AND ended_at_ms IS NULL"
_BEGIN_WITH = "INSERT INTO execution_totals VALUES (?, ?, ?, ?, NULL, NULL)"
_END_WITH = "UPDATE execution_totals SET ended_with = ? WHERE id = ? AND ended_with IS NULL"
_END_BY = "UPDATE execution_totals SET ended_by = ? WHERE id = ?"

_RUNNING = "running"
_DIED = "died"

_ENDED_BY = {"completed": "done", _RUNNING: ""}
"""State → what ended the execution, where nothing else was noted."""

Totals = Mapping[str, ModelTotals]
"""Of each model."""


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
    """When it was last known to run; noted every second."""
    ended_by: str = ""
    """What ended it, in one word; empty while it runs. `done`; the signal: `SIGINT` (Ctrl-C), `SIGTERM`, `SIGHUP`;
    `cost_cap` or `token_cap`; `deadline`; `refused` (by the endpoint); `unheard` (it never answered); `quota`; `outage`
    (longer than the patience); `directory` (the run directory could not be written); `error`. Of one that died:
    `killed` (the process), `restarted` (the machine), or `died` where this is not known. `stopped` or `interrupted`
    where an older version noted no more."""
    settled: Totals | None = None
    """What it added to the totals of each model; None where an older version did not note this."""

    @property
    def open_pauses(self) -> tuple[PauseTimes, ...]:
        """The pauses that have not ended."""
        return tuple(each for each in self.pauses if each.ended_at_ms is None)

    def until_ms(self, now_ms: int) -> int:
        """Return until when it has run: until now if it is running, until it was last seen if it died."""
        if self.state == _RUNNING:
            return max(now_ms, self.started_at_ms)
        if self.ended_at_ms is not None:
            return max(self.ended_at_ms, self.started_at_ms)
        noted = (at_ms for each in self.pauses for at_ms in (each.started_at_ms, each.ended_at_ms))
        return max(self.started_at_ms, self.seen_at_ms or 0, *(at_ms for at_ms in noted if at_ms is not None))

    def running_ms(self, now_ms: int) -> int:
        """Return how long it has run, pauses included."""
        return self.until_ms(now_ms) - self.started_at_ms

    def paused_ms(self, now_ms: int) -> int:
        """Return for how long of this time it was paused: at least one of its models."""
        end_ms = self.until_ms(now_ms)
        paused_ms, until_ms = 0, self.started_at_ms
        for pause in sorted(self.pauses, key=lambda each: each.started_at_ms):
            ended_ms = end_ms if pause.ended_at_ms is None else min(pause.ended_at_ms, end_ms)
            paused_ms += max(0, ended_ms - max(pause.started_at_ms, until_ms))
            until_ms = max(until_ms, ended_ms)
        return paused_ms


class Ended(NamedTuple):
    """The end of an execution; the fields are those of `ExecutionTimes`."""

    at_ms: int
    state: str
    message: str
    ended_by: str


def running_s(executions: Iterable[ExecutionTimes], now_ms: int) -> float:
    """Return how many seconds executions have run in all, without the time between them."""
    return sum(each.running_ms(now_ms) for each in executions) / 1000


def paused_s(executions: Iterable[ExecutionTimes], now_ms: int) -> float:
    """Return for how many of these seconds at least one model was paused."""
    return sum(each.paused_ms(now_ms) for each in executions) / 1000


class History:
    """Writes the history of one execution, through the writer's thread."""

    def __init__(self, queue: WriteQueue) -> None:
        self._queue = queue
        self._execution = 0  # its number
        self._paused_at_ms: dict[str, int] = {}  # by model, the last pause

    def load(self, connection: sqlite3.Connection, totals: Totals) -> None:
        """Take the next number for this execution. Note with which totals the last one has ended."""
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM executions").fetchone()
        connection.execute(_END_WITH, (_encoded(totals), last))
        self._execution = last + 1

    def begin_execution(self, at_ms: int, totals: Totals | None = None) -> None:
        """Note that the execution begins to send, and what was settled before."""
        self._queue.run(_BEGIN, self._execution, at_ms)
        self._queue.run(_BEGIN_WITH, self._execution, *this_machine(), _encoded(totals or {}))

    def seen(self, at_ms: int) -> None:
        """Note that the execution is still running."""
        self._queue.run(_SEEN, at_ms, self._execution)

    def end_execution(self, at_ms: int, state: str, message: str = "", ended_by: str = "") -> None:
        """Note that it has ended, how and why; its open pauses end with it."""
        self._queue.run(_END, at_ms, state, _storable(message), self._execution)
        self._queue.run(_END_BY, ended_by or None, self._execution)
        self._queue.run(_RESUME_ALL, at_ms, self._execution)

    def end_last(self, end: Ended) -> None:
        """Note how the execution before this one has ended, which could not note it."""
        last = self._execution - 1
        self._queue.run(_END, end.at_ms, end.state, _storable(end.message), last)
        self._queue.run(_END_BY, end.ended_by, last)
        self._queue.run(_RESUME_ALL, end.at_ms, last)

    def paused(self, model: str, kind: str, at_ms: int, message: str = "") -> None:
        """Note that a model is paused, after a failure of this kind and with this message."""
        self._paused_at_ms[model] = at_ms
        self._queue.run(_PAUSE, self._execution, model, kind, at_ms, _storable(message))

    def resumed(self, model: str, at_ms: int) -> None:
        """Note that a model is sent requests again."""
        self._queue.run(_RESUME, at_ms, self._execution, model)

    def resumed_after(self, model: str, lasted_ms: int) -> None:
        """Note the same by how long the pause has lasted: the log has this time too."""
        self.resumed(model, self._paused_at_ms[model] + lasted_ms)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encoded(totals: Totals) -> str:
    listed = {
        _storable(model): {**sums._asdict(), "stated_as_0": sorted(sums.stated_as_0)} for model, sums in totals.items()
    }
    return orjson.dumps(listed).decode()


def _decoded(text: str | None) -> Totals | None:
    """Return stored totals; None where there are none, or a damaged file has none that can be read."""
    if text is None:
        return None
    try:
        return {model: _sums(**stored) for model, stored in orjson.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return None


def _sums(*, stated_as_0: Sequence[str] = (), **counts: int) -> ModelTotals:
    return ModelTotals(**{name: int(count) for name, count in counts.items()}, stated_as_0=frozenset(stated_as_0))


class _Noted(NamedTuple):
    """A row of `execution_totals`."""

    machine: Machine = Machine()
    began_with: Totals | None = None
    ended_with: Totals | None = None
    ended_by: str | None = None


_NOTHING_NOTED = _Noted()


def read_history(connection: sqlite3.Connection, totals: Totals, *, is_running: bool) -> list[ExecutionTimes]:
    """Return all executions of a run, oldest first.

    Args:
        connection: to its checkpoint.
        totals: what it has now.
        is_running: whether the last execution is running; without it, an execution without an end has died.
    """
    pauses: dict[int, list[PauseTimes]] = {}
    for number, *times in connection.execute("SELECT * FROM pauses ORDER BY started_at_ms, rowid"):
        pauses.setdefault(number, []).append(PauseTimes(*times))
    noted = {
        number: _Noted(Machine(host, boot), _decoded(began), _decoded(ended), ended_by)
        for number, host, boot, began, ended, ended_by in connection.execute("SELECT * FROM execution_totals")
    }
    rows = connection.execute("SELECT * FROM executions ORDER BY id").fetchall()
    now = _Noted(this_machine(), totals)
    following = [*(noted.get(number, _NOTHING_NOTED) for number, *_ in rows[1:]), now][: len(rows)]
    return [
        _execution(
            row,
            noted.get(row[0], _NOTHING_NOTED),
            after,
            pauses.get(row[0], ()),
            is_running=is_running and after is now,
        )
        for row, after in zip(rows, following, strict=True)
    ]


def _execution(
    row: Sequence[Any], own: _Noted, after: _Noted, pauses: Sequence[PauseTimes], *, is_running: bool
) -> ExecutionTimes:
    _, started_at_ms, ended_at_ms, state, message, seen_at_ms = row
    state = state or (_RUNNING if is_running else _DIED)
    death = _death(own.machine, after.machine) if state == _DIED else ""
    return ExecutionTimes(
        started_at_ms=started_at_ms,
        ended_at_ms=ended_at_ms,
        state=state,
        pauses=tuple(pauses),
        message=message or "",
        seen_at_ms=seen_at_ms,
        ended_by=death or own.ended_by or _ENDED_BY.get(state, state),
        settled=_difference(own.began_with, after.began_with if own.ended_with is None else own.ended_with),
    )


def _death(own: Machine, after: Machine) -> str:
    """Return what ended an execution that has no end: judged by the machine that looked at it first after that."""
    if not own.boot or own.host != after.host:
        return _DIED
    return "killed" if own.boot == after.boot else "restarted"


def _difference(before: Totals | None, after: Totals | None) -> Totals | None:
    if before is None or after is None:
        return None
    added = {model: _added(before.get(model, ModelTotals()), sums) for model, sums in after.items()}
    return {model: sums for model, sums in added.items() if any(sums[:-1])}


def _added(before: ModelTotals, after: ModelTotals) -> ModelTotals:
    names = ModelTotals._fields[:-1]
    counts: dict[str, int] = {name: max(0, getattr(after, name) - getattr(before, name)) for name in names}
    stated = (name for name, tokens in after.usage._asdict().items() if tokens is not None)
    return ModelTotals(**counts, stated_as_0=frozenset(stated))
