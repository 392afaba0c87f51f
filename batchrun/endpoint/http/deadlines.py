"""Ends what takes too long: one timer for many tasks that may all take equally long, so that the oldest is due first.

`asyncio.timeout` sets and clears a timer for each, which costs a third of what a whole request does.
"""

import asyncio
import time

_STALLED_S = 1.0
"""How late a look must come for the whole process to have stood still: it was suspended, or the machine was."""

_GRACE_S = 0.5
"""What all tasks get then: answers that came meanwhile have not been read yet, and were paid for."""


class Deadlines:
    """Watches over tasks; each is cancelled when its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._began_s: dict[asyncio.Task[None], float] = {}  # in the order in which they are due
        self._late: dict[asyncio.Task[None], int] = {}  # and how often somebody else had asked them to end before
        self._timer: asyncio.TimerHandle | None = None
        self._looks_s = 0.0  # when the timer is to go off

    def begin(self, task: asyncio.Task[None], now_s: float) -> None:
        """Give a task its time, or all of it anew; `now_s` by the clock of `time.perf_counter`."""
        self._began_s.pop(task, None)  # so that it comes last: it is due after all others
        self._began_s[task] = now_s
        if self._timer is None:
            self._look_in(self._timeout_s, now_s)

    def end(self, task: asyncio.Task[None]) -> bool:
        """Let a task go; return whether it was cancelled here, for being late, and by nobody else."""
        self._began_s.pop(task, None)
        asked_before = self._late.pop(task, None)
        return asked_before is not None and task.uncancel() <= asked_before

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, wait_s: float, now_s: float) -> None:
        self._looks_s = now_s + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Cancel what is late; look again when the next is due."""
        self._timer = None
        now_s = time.perf_counter()
        if now_s - self._looks_s > _STALLED_S:
            self._look_in(_GRACE_S, now_s)
            return
        while self._began_s:
            task, began_s = next(iter(self._began_s.items()))
            left_s = began_s + self._timeout_s - now_s
            if left_s > 0:
                self._look_in(left_s, now_s)
                return
            del self._began_s[task]
            self._late[task] = task.cancelling()
            task.cancel()
