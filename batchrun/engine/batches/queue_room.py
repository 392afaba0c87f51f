"""Room in the provider's queue: how many tokens may be enqueued is known only by what it does not take."""

import asyncio
import time
from collections.abc import Callable

from batchrun.engine.batches.planner import Planner
from batchrun.engine.batches.shipment import Shipment

_FIRST_S, _MOST_S = 5.0, 600.0
"""First and longest wait for room in the provider's queue, while none of the run's own batches is in it."""


class QueueRoom:
    """Whether the provider takes another batch, as far as it has shown."""

    def __init__(self, planner: Planner, say: Callable[[str], None]) -> None:
        self._planner, self._say = planner, say
        self._wait_s, self._until_s = _FIRST_S, 0.0
        self._largest = dict[
            str, float
        ]()  # tokens of the largest batch that was not taken since the last wait, by model
        self._has_ended = False  # whether one of the run's own has ended since the last wait
        self.is_full = False
        """Whether it has not taken a batch, and that was not waited for since."""
        self.has_freed = False
        """Whether a batch has ended since."""

    def took(self) -> None:
        """Note a batch that was taken, and has ended."""
        self._wait_s, self.has_freed, self._has_ended = _FIRST_S, True, True

    def refused(self, shipment: Shipment, *, others: int) -> None:
        """Send smaller batches, or none for a while: too many tokens are enqueued.

        The next ones are half as large as the largest that was not taken: the last one may be a small rest. Where the
        run's own filled the queue, they stay as large.

        Args:
            shipment: that was not taken.
            others: how many batches of the run are under way.
        """
        row = shipment.row
        if row.requests > 1:
            self._largest[row.model] = max(shipment.tokens, self._largest.get(row.model, 0.0))
        if others:
            self._say(f"the provider's queue is full: batch {row.id} waits until another one has ended")
        else:
            smaller = ""
            if not self._has_ended and (largest := self._largest.get(row.model, 0.0)):
                self._planner.most_tokens[row.model] = largest / 2
                smaller = "smaller batches, "
            self._say(f"the provider's queue is full: {smaller}next try in {self._wait_s:.0f} s")
        self.is_full, self.has_freed = True, False
        self._until_s = time.monotonic() + self._wait_s
        if not others:
            self._wait_s = min(2 * self._wait_s, _MOST_S)

    async def wait(self) -> None:
        """Wait a while for it, if it was full and none of the run's own batches is in it."""
        if self.is_full and not self.has_freed:
            await asyncio.sleep(max(0.0, self._until_s - time.monotonic()))
        self.is_full = self.has_freed = self._has_ended = False
        self._largest.clear()
