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
        self.is_full = False
        """Whether it has not taken a batch, and that was not waited for since."""
        self.has_freed = False
        """Whether a batch has ended since."""

    def took(self) -> None:
        """Note a batch that was taken, and has ended."""
        self._wait_s, self.has_freed = _FIRST_S, True

    def refused(self, shipment: Shipment, *, others: int) -> None:
        """Send smaller batches, or none for a while: too many tokens are enqueued.

        Args:
            shipment: that was not taken.
            others: how many batches of the run are under way.
        """
        row = shipment.row
        if others:
            self._say(f"the provider's queue is full: batch {row.id} waits until another one has ended")
        else:
            smaller = ""
            if row.requests > 1 and shipment.tokens:
                self._planner.most_tokens[row.model] = shipment.tokens / 2
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
        self.is_full = self.has_freed = False
