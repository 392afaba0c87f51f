"""Ends what takes too long: one timer for many tasks that may all take equally long, so that the oldest is due first.

`asyncio.timeout` sets and clears a timer for each, which costs a third of what a whole request does.
"""

import asyncio
import time


class Deadlines:
    """Watches over tasks; each is cancelled when its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._began_s: dict[asyncio.Task[None], float] = {}  # in the order in which they are due
        self._late: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[None], now_s: float) -> None:
        """Give a task its time; `now_s` by the clock of `time.perf_counter`."""
        self._began_s[task] = now_s
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._look)

    def end(self, task: asyncio.Task[None]) -> bool:
        """Let a task go; return whether it was cancelled here, for being late."""
        self._began_s.pop(task, None)
        if task not in self._late:
            return False
        self._late.remove(task)
        task.uncancel()
        return True

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Cancel what is late; look again when the next is due."""
        self._timer = None
        now_s = time.perf_counter()
        while self._began_s:
            task, began_s = next(iter(self._began_s.items()))
            left_s = began_s + self._timeout_s - now_s
            if left_s > 0:
                self._timer = asyncio.get_running_loop().call_later(left_s, self._look)
                return
            del self._began_s[task]
            self._late.add(task)
            task.cancel()
