"""A clock that jumps: an event loop on which an hour of waiting takes no time, and a deadlock is an error."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TICK_S = 1e-9
"""Smallest step of the clock: otherwise a rounding error could cause an endless loop."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the clock by a timeout instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Jump to the next timer, if nothing is ready. The system is not asked whether anything has arrived.

        What a thread hands over is ready at once. The asking would take a tenth of the time of a simulation.
        """
        if timeout is None and not super().select(0):
            raise RuntimeError("deadlock: nothing is scheduled, and nothing can arrive")
        self.now_s += max(timeout or 0.0, _TICK_S)
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` is virtual. For code that does no I/O."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time, in seconds from 0."""
        return self._jumping.now_s

    def stand_still(self, for_s: float) -> None:
        """Let time pass in which nothing runs, as in a process that is stopped."""
        self._jumping.now_s += for_s


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
