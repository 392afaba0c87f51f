"""A timer that asks a condition instead of the clock: however slow the machine is, it is neither early nor late."""

import threading
from collections.abc import Callable


class ConditionTimers:
    """Makes timers that look at a condition instead of the clock."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        """Prepare; `condition` is asked 100 times a second while a timer runs, and acts each time that it is true."""
        self.made = 0
        self._condition = condition

    def timer(self, limit_s: float, act: Callable[[], None]) -> threading.Timer:
        """Return a timer, in place of `threading.Timer`."""

        def look() -> None:
            while not timer.finished.wait(0.01):
                if self._condition():
                    act()

        self.made += 1
        timer = threading.Timer(0, look)
        return timer
