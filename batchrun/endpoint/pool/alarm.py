"""A timer that rings once, at the earliest of the times that were asked for."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls a function at a time of the loop's clock."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0

    def set(self, when_s: float) -> None:
        """Ring at this time, unless it rings earlier."""
        if self._timer is not None:
            if self._timer_s <= when_s:
                return
            self._timer.cancel()
        self._timer, self._timer_s = asyncio.get_running_loop().call_at(when_s, self._on_time), when_s

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self) -> None:
        self._timer = None
        self._ring()
