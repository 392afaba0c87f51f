"""When a run started, stopped and paused, over all its executions, and what each settled: the only place that knows.

An execution that died has no end: nobody was there to write it. The same holds for a pause that it died in. What it
settled is known anyway: it is what was in the checkpoint when the next execution opened it, or is in it now.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from batchrun.records import AnswerSource, ModelTotals, Parts, difference
from batchrun.storage.processes import Machine, this_machine

CLOSED = "closed"
"""Kind of the pause of an endpoint that is sent nothing more: it lasts until the execution ends."""

_RUNNING = "running"
_DIED = "died"

_ENDED_BY = {"completed": "done", _RUNNING: ""}
"""State → what ended the execution, where nothing else was noted."""


class PauseTimes(NamedTuple):
    """A pause: nothing worked of a model, and its rows waited; or nothing of it worked at one endpoint of several."""

    model: str
    kind: str
    """Kind of the failure that it began with."""
    started_at_ms: int
    """Unix time, as all times here."""
    ended_at_ms: int | None
    """None: it has not ended, or its execution died in it."""
    message: str = ""
    """Message of that failure."""
    endpoint: str = ""
    """Name of the endpoint; empty: the rows waited, since no endpoint answered."""


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
    `cost_cap` or `token_cap`; `deadline`; `cancelled` (its batches, by `--cancel`); `refused` (by the endpoint);
    `unheard` (it never answered); `quota`; `outage` (longer than the patience); `cluster_lost` (the Ray cluster);
    `directory` (the run directory could not be written); `error`. Of one that died: `killed` (the process),
    `restarted` (the machine), or `died` where this is not known. `stopped` or `interrupted` where an older version
    noted no more."""
    settled: Parts | None = None
    """What it added to the totals of each source; None where an older version did not note this."""
    endpoint_pauses: tuple[PauseTimes, ...] = ()
    """When each endpoint of several was away, or closed (then of kind `closed`); none where there is one."""

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


def _decoded(text: str | None) -> Parts | None:
    """Return stored totals; None where there are none, or a damaged file has none that can be read."""
    if text is None:
        return None
    try:
        stored = orjson.loads(text)
        if isinstance(stored, dict):  # of one endpoint, by model
            return {AnswerSource(model): _sums(**counts) for model, counts in stored.items()}
        return {AnswerSource(*source): _sums(**counts) for source, counts in stored}
    except (ValueError, TypeError, AttributeError):
        return None


def _sums(*, stated_as_0: Sequence[str] = (), **counts: int) -> ModelTotals:
    return ModelTotals(**{name: int(count) for name, count in counts.items()}, stated_as_0=frozenset(stated_as_0))


_READ_PAUSES = """
SELECT execution, model, kind, started_at_ms, ended_at_ms, message, endpoint FROM (
    SELECT *, '' AS endpoint FROM pauses UNION ALL
    SELECT execution, model, kind, started_at_ms, ended_at_ms, message, endpoint FROM endpoint_pauses
) ORDER BY started_at_ms
"""


class _Noted(NamedTuple):
    """A row of `execution_totals`."""

    machine: Machine = Machine()
    began_with: Parts | None = None
    ended_with: Parts | None = None
    ended_by: str | None = None


_NOTHING_NOTED = _Noted()


def read_history(connection: sqlite3.Connection, parts: Parts, *, is_running: bool) -> list[ExecutionTimes]:
    """Return all executions of a run, oldest first.

    Args:
        connection: to its checkpoint.
        parts: what it has now.
        is_running: whether the last execution is running; without it, an execution without an end has died.
    """
    pauses: dict[int, list[PauseTimes]] = {}
    for number, *times in connection.execute(_READ_PAUSES):
        pauses.setdefault(number, []).append(PauseTimes(*times))
    noted = {
        number: _Noted(Machine(host, boot), _decoded(began), _decoded(ended), ended_by)
        for number, host, boot, began, ended, ended_by in connection.execute("SELECT * FROM execution_totals")
    }
    rows = connection.execute("SELECT * FROM executions ORDER BY id").fetchall()
    now = _Noted(this_machine(), parts)
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
        pauses=tuple(each for each in pauses if not each.endpoint),
        endpoint_pauses=tuple(each for each in pauses if each.endpoint),
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


def _difference(before: Parts | None, after: Parts | None) -> Parts | None:
    if before is None or after is None:
        return None
    added = {source: difference(before.get(source, ModelTotals()), sums) for source, sums in after.items()}
    return {source: sums for source, sums in added.items() if any(sums[:-1])}
