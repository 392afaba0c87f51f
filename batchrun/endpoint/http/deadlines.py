"""Cancels tasks that take too long, with one timer for all: they have the same timeout, so the oldest is due first.

`asyncio.timeout` sets and clears a timer for each task, which costs a third of a whole request.
"""

import asyncio
import time

_STALLED_S = 1.0
"""A timer that is so late shows that the whole process stood still: it was suspended, or the machine was."""

_GRACE_S = 0.5
"""Extra time for all tasks then: answers that arrived meanwhile are paid for, and not read yet."""


class Deadlines:
    """The deadlines of running tasks; each task is cancelled when its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._began_s: dict[asyncio.Task[None], float] = {}  # in the order in which they are due
        self._late: dict[asyncio.Task[None], int] = {}  # with the number of earlier requests to cancel them
        self._timer: asyncio.TimerHandle | None = None
        self._looks_s = 0.0  # when the timer fires

    def begin(self, task: asyncio.Task[None], now_s: float) -> None:
        """Start a task's time, or restart it; `now_s` is by the clock of `time.perf_counter`."""
        self._began_s.pop(task, None)  # so that it comes last: it is due last
        self._began_s[task] = now_s
        if self._timer is None:
            self._look_in(self._timeout_s, now_s)

    def expire(self, task: asyncio.Task[None], silent_s: float) -> bool:
        """Cancel a task as late if it began, or was restarted, so long ago; return whether it was."""
        began_s = self._began_s.get(task)
        if began_s is None or time.perf_counter() - began_s < silent_s:
            return False
        self._cancel(task)
        return True

    def end(self, task: asyncio.Task[None]) -> bool:
        """Stop watching a task; return whether it was cancelled for being late, and for no other reason."""
        self._began_s.pop(task, None)
        asked_before = self._late.pop(task, None) if self._late else None
        return asked_before is not None and task.uncancel() <= asked_before

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, wait_s: float, now_s: float) -> None:
        self._looks_s = now_s + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Cancel the tasks that are late; look again when the next is due."""
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
            self._cancel(task)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        del self._began_s[task]
        self._late[task] = task.cancelling()
        task.cancel()
