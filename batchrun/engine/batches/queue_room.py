"""Room in the provider's queues: how many tokens may be enqueued is known only by what it does not take.

A provider whose refusal names a model has a queue for each; else all of the run's batches are taken to share one.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from batchrun.engine.batches.planner import Planner
from batchrun.engine.batches.shipment import Shipment

_FIRST_S, _MOST_S = 5.0, 600.0
"""First and longest wait for room in the provider's queue, while none of the run's own batches is in it."""


@dataclass(slots=True)
class _Queue:
    """What a model's batches have shown of the queue."""

    wait_s: float
    """Until it is tried again, the next time."""
    is_full: bool = False
    """Whether one was not taken, and that was not waited for since."""
    is_of_model: bool = False
    """Whether only this model's batches are in it."""
    has_freed: bool = False
    """Whether one that was in it has ended since."""
    until_s: float = 0.0
    """When it is tried again, if nothing in it is the run's own."""
    largest: float = 0.0
    """Tokens of the largest batch that was not taken since the last wait."""

    def holds(self, models: Collection[str], model: str) -> bool:
        """Return whether batches of some models are in it, which is the queue of `model`."""
        return model in models if self.is_of_model else bool(models)


class QueueRoom:
    """Whether the provider takes another batch, as far as it has shown."""

    def __init__(self, planner: Planner, say: Callable[[str], None]) -> None:
        self._planner, self._say = planner, say
        self._queues: dict[str, _Queue] = {}  # by model
        self._ended: set[str] = set()  # models of which a batch has ended since the last wait

    @property
    def full(self) -> Collection[str]:
        """Models that no batch is planned of now."""
        return {model for model, queue in self._queues.items() if queue.is_full}

    @property
    def is_shared(self) -> bool:
        """Whether a full queue may be that of all models."""
        return any(queue.is_full and not queue.is_of_model for queue in self._queues.values())

    def took(self, model: str) -> None:
        """Note a batch of a model that was taken, and has ended."""
        self._ended.add(model)
        for each, queue in self._queues.items():
            if queue.holds({model}, each):
                queue.wait_s, queue.has_freed = _FIRST_S, True

    def refused(self, shipment: Shipment, under_way: Collection[str], *, is_of_model: bool) -> None:
        """Send smaller batches, or none for a while: too many tokens are enqueued.

        The next ones are half as large as the largest that was not taken: the last one may be a small rest. Where the
        run's own filled the queue, they stay as large.

        Args:
            shipment: that was not taken.
            under_way: models of the run's other batches that are.
            is_of_model: whether the queue is that of the model alone.
        """
        row = shipment.row
        queue = self._queues.setdefault(row.model, _Queue(wait_s=_FIRST_S))
        queue.is_of_model = is_of_model
        if row.requests > 1:
            queue.largest = max(shipment.tokens, queue.largest)
        queue.is_full, queue.has_freed = True, False
        queue.until_s = time.monotonic() + queue.wait_s
        if queue.holds(under_way, row.model):
            self._say(f"the provider's queue is full: batch {row.id} waits until another one has ended")
            return
        smaller = ""
        if not queue.holds(self._ended, row.model) and queue.largest:
            self._planner.most_tokens[row.model] = queue.largest / 2
            smaller = "smaller batches, "
        self._say(f"the provider's queue is full: {smaller}next try in {queue.wait_s:.0f} s")
        queue.wait_s = min(2 * queue.wait_s, _MOST_S)

    def due_in_s(self, under_way: Collection[str]) -> float:
        """Return how long until a full queue is tried again: inf while only a batch that ends can make room.

        Args:
            under_way: models of the run's batches that are.
        """
        full = [(model, queue) for model, queue in self._queues.items() if queue.is_full]
        return min((self._left_s(model, queue, under_way) for model, queue in full), default=math.inf)

    async def changed_or_due(self, changed: asyncio.Event, under_way: Collection[str]) -> None:
        """Wait until an event is set, or a full queue is to be tried again."""
        left_s = self.due_in_s(under_way)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if left_s == math.inf else left_s):
                await changed.wait()

    async def wait(self, under_way: Collection[str]) -> None:
        """Wait until a full queue is to be tried again, unless other batches are under way; then try those that are."""
        left_s = self.due_in_s(under_way)
        if not under_way and left_s != math.inf:
            await asyncio.sleep(left_s)
        for model, queue in self._queues.items():
            if queue.is_full and not self._left_s(model, queue, under_way):
                queue.is_full, queue.has_freed, queue.largest = False, False, 0.0
        self._ended &= set(self.full)
        self._planner.full = self.full

    def _left_s(self, model: str, queue: _Queue, under_way: Collection[str]) -> float:
        if queue.has_freed:
            return 0.0
        return math.inf if queue.holds(under_way, model) else max(0.0, queue.until_s - time.monotonic())
