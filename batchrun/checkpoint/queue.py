"""What waits for the writer: outcomes, extra costs, and other statements. The caller bounds it by `has_room`."""

from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from batchrun.checkpoint.ready import Sealed
from batchrun.checkpoint.totals import Extra
from batchrun.records import Outcome

MAX_QUEUED = 20_000
MAX_QUEUED_BYTES = 64 << 20
"""How much may wait for the writer before nothing more is admitted."""

MAX_AGE_S = 0.1
"""How old the oldest outcome that waits may get before nothing more is admitted: a kill has all that wait bought again.

The writer commits every 20 ms where disk and processors are not busy."""

T = TypeVar("T")

Statement = tuple[str, tuple[Any, ...]]
"""SQL text and its values."""


class Load(NamedTuple):
    """What one commit writes."""

    outcomes: list[Outcome]
    statements: list[Statement]
    extras: list[Extra]
    retired: list[Outcome]
    """Outcomes whose requests are not in the job; what they have used is in the extras."""
    ready: list[Sealed]
    """Outcomes that another process has made ready."""

    @property
    def rows(self) -> int:
        """How many outcomes it has."""
        return len(self.outcomes) + sum(each.rows for each in self.ready)

    @property
    def size(self) -> int:
        """Bytes of their answers."""
        return sum(map(_body_bytes, (*self.outcomes, *self.retired))) + sum(len(each.content) for each in self.ready)


class WriteQueue:
    """Filled by the event loop and the input's reader, emptied by the writer, without a lock.

    Appending to a deque and taking from it are atomic; adding to a number is not. So each count has one thread that
    changes it, and what is queued is the difference of two.
    """

    def __init__(self) -> None:
        self._outcomes: deque[Outcome] = deque()
        self._statements: deque[Statement] = deque()
        self._extras: deque[Extra] = deque()
        self._ready: deque[Sealed] = deque()
        self._groups: deque[tuple[list[Statement], list[Extra], list[Outcome]]] = deque()
        self._taken = self._done = 0  # loads; changed by the writer only
        self._rows_put = self._bytes_put = 0  # changed by the event loop only
        self._rows_written = self._bytes_written = 0  # changed by the writer only
        self._first_put_s = 0.0  # of those that wait, or earlier; changed by the event loop only
        self._taken_s = self._written_until_s = 0.0  # of the last load, of the last written; changed by the writer only

    def has_space(self) -> bool:
        """Return whether more fits; else the writer must catch up first."""
        queued_bytes = self._bytes_put - self._bytes_written
        return self._rows_put - self._rows_written < MAX_QUEUED and queued_bytes < MAX_QUEUED_BYTES

    def has_room(self) -> bool:
        """Return whether more may be sent: it fits, and nothing has waited for too long."""
        if not self.has_space():
            return False
        return (
            self._rows_put == self._rows_written
            or monotonic() - max(self._first_put_s, self._written_until_s) < MAX_AGE_S
        )

    def put(self, outcome: Outcome) -> None:
        """Add an outcome."""
        self._note_put(1)
        self._bytes_put += _body_bytes(outcome)
        self._outcomes.append(outcome)

    def put_ready(self, ready: Sealed) -> None:
        """Add outcomes that another process has made ready."""
        self._note_put(ready.rows)
        self._bytes_put += len(ready.content)
        self._ready.append(ready)

    def _note_put(self, rows: int) -> None:
        if self._rows_put == self._rows_written:
            self._first_put_s = monotonic()
        self._rows_put += rows

    def add(self, extra: Extra) -> None:
        """Add attempts or tokens that are in no outcome."""
        self._extras.append(extra)

    def run(self, statement: str, *values: Any) -> None:
        """Add any other statement. It is run before the outcomes of its commit are inserted."""
        self._statements.append((statement, values))

    def run_together(self, statements: list[Statement], extras: list[Extra], retired: Sequence[Outcome] = ()) -> None:
        """Add statements, extras and outcomes that are retired, which are written in the same commit."""
        self._bytes_put += sum(map(_body_bytes, retired))
        self._groups.append((statements, extras, [*retired]))

    def ticket(self) -> int:
        """Return what `is_written` is asked with about all that was added until now."""
        return self._taken + 1

    def is_written(self, ticket: int) -> bool:
        """Return whether what had been added when a ticket was made is committed."""
        return self._done >= ticket

    # The writer's thread.

    def take(self) -> Load:
        """Return all that is queued, and remove it; more may be added meanwhile."""
        self._taken += 1
        self._taken_s = monotonic()
        extras = _taken(self._extras)  # first: one that corrects the counts of an outcome is never written before it
        load = Load(_taken(self._outcomes), _taken(self._statements), extras, [], _taken(self._ready))
        for statements, extras, retired in _taken(self._groups):
            load.statements.extend(statements)
            load.extras.extend(extras)
            load.retired.extend(retired)
        return load

    def give_back(self, load: Load) -> None:
        """Put what could not be written in front of the queue again."""
        self._outcomes.extendleft(reversed(load.outcomes))
        self._statements.extendleft(reversed(load.statements))
        self._extras.extendleft(reversed(load.extras))
        self._groups.appendleft(([], [], load.retired))
        self._ready.extendleft(reversed(load.ready))

    def written(self, load: Load) -> None:
        """Note that a load is committed: there is room for as many rows and bytes."""
        self._done, self._written_until_s = self._taken, self._taken_s
        self._rows_written += load.rows
        self._bytes_written += load.size


def _taken(queue: deque[T]) -> list[T]:
    return [queue.popleft() for _ in range(len(queue))]


def _body_bytes(outcome: Outcome) -> int:
    if outcome.body is not None:
        return len(outcome.body)
    return 0 if outcome.reply is None else outcome.reply.size
