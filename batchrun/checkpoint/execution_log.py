"""Writes when an execution started, paused, resumed and ended, and what was settled then: `history` reads it."""

import sqlite3

import orjson

from batchrun.checkpoint.history import CLOSED, Ended
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.reachable import Reachable
from batchrun.records import Parts
from batchrun.storage.processes import this_machine

_LAST = """
SELECT coalesce(max(id), 0) FROM (SELECT id FROM executions UNION ALL SELECT id FROM execution_totals)
"""
"""Of both, since a salvage may have found only one of them."""

_BEGIN = "INSERT INTO executions VALUES (?, ?, NULL, NULL, NULL, NULL)"
_END = "UPDATE executions SET ended_at_ms = ?, state = ?, message = ? WHERE id = ?"
_SEEN = "UPDATE executions SET seen_at_ms = ? WHERE id = ?"
_PAUSE = "INSERT INTO pauses VALUES (?, ?, ?, ?, NULL, ?)"
_RESUME = "UPDATE pauses SET ended_at_ms = ? WHERE execution = ? AND model = ? AND ended_at_ms IS NULL"
_RESUME_ALL = "UPDATE {} SET ended_at_ms = ? WHERE execution = ? AND ended_at_ms IS NULL"
_PAUSE_ENDPOINT = "INSERT INTO endpoint_pauses VALUES (?, ?, ?, ?, ?, NULL, ?)"
_RESUME_ENDPOINT = (
    "UPDATE endpoint_pauses SET ended_at_ms = ? WHERE execution = ? AND endpoint = ? AND model = ? "
    "AND ended_at_ms IS NULL"
)
_BEGIN_WITH = "INSERT INTO execution_totals VALUES (?, ?, ?, ?, NULL, NULL)"
_END_WITH = "UPDATE execution_totals SET ended_with = ? WHERE id = ? AND ended_with IS NULL"
_END_BY = "UPDATE execution_totals SET ended_by = ? WHERE id = ?"


class ExecutionLog:
    """Writes what happens in one execution, through the writer's thread."""

    def __init__(self, queue: WriteQueue) -> None:
        self._queue = queue
        self._execution = 0  # its number
        self._paused_at_ms: dict[tuple[str, str], int] = {}  # by model and endpoint, the last pause
        self._paused: set[str] = set()  # models whose rows wait
        self.reachable = Reachable()
        """Which endpoints are left for a model. The caller sets which ones serve it, where the job has several."""
        self.was_completed = False
        """Whether the execution before this one has settled every row of its input."""

    def load(self, connection: sqlite3.Connection, parts: Parts) -> None:
        """Take the next number for this execution. Note with which totals the last one has ended."""
        (last,) = connection.execute(_LAST).fetchone()
        connection.execute(_END_WITH, (_encoded(parts), last))
        state = connection.execute("SELECT state FROM executions WHERE id = ?", (last,)).fetchone()
        self.was_completed = state == ("completed",)
        self._execution = last + 1

    def begin_execution(self, at_ms: int, parts: Parts | None = None) -> None:
        """Note that the execution begins to send, and what was settled before."""
        self._queue.run(_BEGIN, self._execution, at_ms)
        self._queue.run(_BEGIN_WITH, self._execution, *this_machine(), _encoded(parts or {}))

    def seen(self, at_ms: int) -> None:
        """Note that the execution is still running."""
        self._queue.run(_SEEN, at_ms, self._execution)

    def end_execution(self, at_ms: int, state: str, message: str = "", ended_by: str = "") -> None:
        """Note that it has ended, how and why; its open pauses end with it."""
        self._queue.run(_END, at_ms, state, _storable(message), self._execution)
        self._queue.run(_END_BY, ended_by or None, self._execution)
        self._resume_all(at_ms, self._execution)

    def end_last(self, end: Ended) -> None:
        """Note how the execution before this one has ended, which could not note it."""
        last = self._execution - 1
        self._queue.run(_END, end.at_ms, end.state, _storable(end.message), last)
        self._queue.run(_END_BY, end.ended_by, last)
        self._resume_all(end.at_ms, last)

    @property
    def paused_models(self) -> list[tuple[str, str]]:
        """The models whose rows wait, and the endpoints that are away for them."""
        return [(model, endpoint) for model, endpoint in self._paused_at_ms if model in self._paused]

    def paused(self, model: str, kind: str, at_ms: int, message: str = "", endpoint: str = "") -> None:
        """Note that a model is paused, after a failure of this kind and with this message.

        At one endpoint of several: the model itself is paused only when no other one is left.
        """
        self._paused_at_ms[model, endpoint] = at_ms
        self.reachable.away(model, endpoint)
        self._note_pause(model, kind, at_ms, _storable(message), endpoint)

    def resumed(self, model: str, at_ms: int, endpoint: str = "") -> None:
        """Note that a model is sent requests again."""
        self.reachable.back(model, endpoint)
        self._resume(model, at_ms, endpoint)

    def resumed_after(self, model: str, lasted_ms: int, endpoint: str = "") -> None:
        """Note the same by how long the pause has lasted: the log has this time too."""
        self.resumed(model, self._paused_at_ms[model, endpoint] + lasted_ms, endpoint)

    def closed(self, model: str, at_ms: int, message: str = "", endpoint: str = "") -> None:
        """Note that nothing more is sent to a model; or to an endpoint of several, which counts as away from now on."""
        self.reachable.closed(model, endpoint)
        self._resume(model, at_ms, endpoint)
        if endpoint:
            self._note_pause(model, CLOSED, at_ms, _storable(message), endpoint)

    def _note_pause(self, model: str, kind: str, at_ms: int, message: str, endpoint: str) -> None:
        if endpoint:
            self._queue.run(_PAUSE_ENDPOINT, self._execution, endpoint, model, kind, at_ms, message)
        if self.reachable.is_paused(model) and model not in self._paused:
            self._paused.add(model)
            self._queue.run(_PAUSE, self._execution, model, kind, at_ms, message)

    def _resume(self, model: str, at_ms: int, endpoint: str) -> None:
        if endpoint:
            self._queue.run(_RESUME_ENDPOINT, at_ms, self._execution, endpoint, model)
        if not self.reachable.is_paused(model):
            self._paused.discard(model)
            self._queue.run(_RESUME, at_ms, self._execution, model)

    def _resume_all(self, at_ms: int, execution: int) -> None:
        for table in ("pauses", "endpoint_pauses"):
            self._queue.run(_RESUME_ALL.format(table), at_ms, execution)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encoded(parts: Parts) -> str:
    """Return totals as JSON: by model where there is one endpoint, else by source."""
    counts = [{**sums._asdict(), "stated_as_0": sorted(sums.stated_as_0)} for sums in parts.values()]
    sources = [tuple(map(_storable, source)) for source in parts]
    if any(any(source[1:]) for source in sources):
        return orjson.dumps(list(zip(sources, counts, strict=True))).decode()
    return orjson.dumps({model: each for (model, *_), each in zip(sources, counts, strict=True)}).decode()
