"""Room in the provider's queues: how many tokens may be enqueued is known only by what it does not take.

A provider whose refusal names a model has a queue for each; else all of the run's batches are taken to share one. A
batch that is not taken keeps its uploaded file and waits for its turn; those that come later wait behind it, before
they are uploaded. One is tried for each that has ended in the queue; after a few of these, or after a while with none
of the run's own in it, each one that is taken lets the next be tried too, until one is refused.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from batchrun.checkpoint.batch_tables import CREATED, FAILED, WAITING, BatchRow
from batchrun.engine.batches.planner import Planner
from batchrun.engine.batches.shipment import Shipment

_UPLOADS = 2
"""Batches that are uploaded at the same time."""

_FIRST_S, _MOST_S = 5.0, 600.0
"""First and longest wait for room in the provider's queue, while none of the run's own batches is in it."""

_ENDS_TO_GROW = 4
"""Batches that have ended until more are tried than have: other runs may have left room too. So at most a fifth of the
creations is in vain, once the first are refused."""

_OF_ALL = ""
"""Name of the queue of all models."""

_NOT_TAKEN_YET = (None, "validating", FAILED)


@dataclass(slots=True)
class _Queue:
    """What batches have shown of a queue."""

    wait_s: float
    """Until one is tried, the next time that none of the run's own is in it."""
    is_full: bool = False
    """Whether one was not taken, and others may not be."""
    until_s: float = 0.0
    """When one is tried, if none of the run's own is in it."""
    tries: int = 0
    """How many may be tried now."""
    tried: int | None = None
    """Number of the last that was."""
    is_growing: bool = False
    """Whether each one that is taken lets the next be tried."""
    ends: int = 0
    """How many have ended that were in it, since one was not taken."""
    largest: dict[str, float] = field(default_factory=dict)
    """Model → tokens of its largest batch that was not taken since one was tried."""


class QueueRoom:
    """Has batches wait for room in the provider's queues."""

    def __init__(self, planner: Planner, shipments: Mapping[int, Shipment], say: Callable[[str], None]) -> None:
        """Begin with room for all.

        Args:
            planner: whose batches become smaller where a queue takes none as large.
            shipments: all that are on their way, by number, as they are whenever that counts.
            say: prints a line.
        """
        self._planner, self._shipments, self._say = planner, shipments, say
        self._queues: dict[str, _Queue] = {}  # by model, or of all
        self._ended_s: dict[str, float] = {}  # when the last batch of a model has ended
        self._held: dict[int, Shipment] = {}  # those that wait, by number, the first in line first
        self._uploads = asyncio.Semaphore(_UPLOADS)

    @contextlib.asynccontextmanager
    async def admitted(self, shipment: Shipment) -> AsyncGenerator[None]:
        """Wait until a batch may be uploaded and created: first for its turn, if the queue is full."""
        has_waited = False
        while True:
            if not has_waited and self._queue_of(shipment.row.model).is_full:
                await self._turn(shipment)
                has_waited = True
            async with self._uploads:
                if has_waited or not self._queue_of(shipment.row.model).is_full:
                    shipment.admitted_s = asyncio.get_running_loop().time()
                    yield
                    return

    async def _turn(self, shipment: Shipment) -> None:
        """Wait until a batch may be tried, or is not to be: it is cancelled, or withdrawn, as one that is too large."""
        number, model = shipment.row.id, shipment.row.model
        self._held[number] = shipment
        self._note(shipment, WAITING)
        try:
            while not self._is_turn(shipment):
                shipment.wake.clear()
                left_s = self._left_s(self._queue_of(model))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if left_s == math.inf else left_s):
                        await shipment.wake.wait()
        finally:
            del self._held[number]
        shipment.is_withdrawn |= self._is_too_large(shipment)
        self._note(shipment, None)
        if not shipment.is_cancelled and not shipment.is_withdrawn:
            self._try(number, self._queue_of(model))
        self.look()

    def cancel(self, model: str) -> None:
        """Cancel all batches of a model that wait."""
        for each in self._held.values():
            if each.row.model == model:
                each.cancel()

    def look(self) -> None:
        """Have all that wait see whether it is their turn."""
        for each in self._held.values():
            each.wake.set()

    def seen(self, row: BatchRow) -> None:
        """Take note of what is known of a batch now: whether it was taken."""
        queue = self._queue_of(row.model)
        if queue.is_growing and queue.tried == row.id and row.step == CREATED and row.status not in _NOT_TAKEN_YET:
            queue.tried, queue.tries = None, queue.tries + 1
            self.look()

    def ended(self, model: str) -> None:
        """Take note that a batch of a model has ended that was in its queue."""
        queue = self._queue_of(model)
        self._ended_s[model] = asyncio.get_running_loop().time()
        queue.wait_s, queue.ends, queue.tries = _FIRST_S, queue.ends + 1, queue.tries + 1
        queue.is_growing |= queue.ends >= _ENDS_TO_GROW
        queue.is_full = bool(self._held_by(queue))
        self.look()

    def refused(self, shipment: Shipment, *, is_of_model: bool) -> None:
        """Have a batch wait that was not taken, because too many tokens are enqueued.

        Where none of the run's own was in the queue, the next ones are half as large as the largest that was not taken:
        the last one may be a small rest.

        Args:
            shipment: that was not taken.
            is_of_model: whether the queue is that of its model alone.
        """
        row = shipment.row
        name = row.model if is_of_model or row.model in self._queues else _OF_ALL
        queue = self._queues.setdefault(name, _Queue(wait_s=_FIRST_S))
        self._held[row.id] = shipment
        queue.is_full, queue.is_growing, queue.tries, queue.ends = True, False, 0, 0
        queue.until_s = asyncio.get_running_loop().time() + queue.wait_s
        if row.requests > 1:
            queue.largest[row.model] = max(shipment.tokens, queue.largest.get(row.model, 0.0))
        if self._has_any(queue):
            self._say(f"the provider's queue is full: batch {row.id} waits until another one has ended")
            return
        smaller = ""
        if not self._has_ended_since(shipment.admitted_s, queue):
            shipment.is_withdrawn = row.requests > 1 and not shipment.tokens  # written again, its tokens are known
            if most := queue.largest.get(row.model, 0.0) / 2:
                self._planner.most_tokens[row.model], smaller = most, "smaller batches, "
        self._say(f"the provider's queue is full: {smaller}next try in {queue.wait_s:.0f} s")
        queue.wait_s = min(2 * queue.wait_s, _MOST_S)
        self.look()

    def _queue_of(self, model: str) -> _Queue:
        return self._queues.get(model) or self._queues.get(_OF_ALL) or _Queue(wait_s=_FIRST_S)

    def _held_by(self, queue: _Queue) -> list[int]:
        return [number for number, each in self._held.items() if self._queue_of(each.row.model) is queue]

    def _has_any(self, queue: _Queue) -> bool:
        """Return whether one of the run's own is in a queue, or about to be."""
        others = (each for number, each in self._shipments.items() if number not in self._held)
        return any(self._queue_of(each.row.model) is queue for each in others)

    def _has_ended_since(self, since_s: float, queue: _Queue) -> bool:
        """Return whether one of the run's own was in a queue at some time, and has ended."""
        return any(at_s >= since_s for model, at_s in self._ended_s.items() if self._queue_of(model) is queue)

    def _is_turn(self, shipment: Shipment) -> bool:
        queue = self._queue_of(shipment.row.model)
        if shipment.is_cancelled or shipment.is_withdrawn or not queue.is_full or self._is_too_large(shipment):
            return True
        is_first = shipment.row.id == self._held_by(queue)[0]
        return is_first and (queue.tries > 0 or not self._left_s(queue))

    def _is_too_large(self, shipment: Shipment) -> bool:
        most_tokens = self._planner.most_tokens.get(shipment.row.model, math.inf)
        return shipment.row.requests > 1 and shipment.tokens > most_tokens

    def _left_s(self, queue: _Queue) -> float:
        """Return how long until one is tried with none of the run's own in a queue; inf while one is in it."""
        return math.inf if self._has_any(queue) else max(0.0, queue.until_s - asyncio.get_running_loop().time())

    def _try(self, number: int, queue: _Queue) -> None:
        queue.is_growing |= not queue.tries
        queue.tries, queue.tried = max(0, queue.tries - 1), number
        queue.largest = {}

    def _note(self, shipment: Shipment, status: str | None) -> None:
        shipment.become(shipment.row._replace(status=status))
        self._planner.log.note(shipment.row)
