"""Runs a job in a thread with an event loop of its own, and shows and interrupts it from the caller's thread.

A notebook's own event loop is running while a cell is; so is that of a program that calls from a coroutine. What is
drawn comes from the caller's thread, to which a notebook's outputs belong. An interrupt (Ctrl-C, the stop button of a
notebook) arrives there too: the first one drains the run, the second one cancels it.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import uvloop

from batchrun.api.words import in_python
from batchrun.engine.options import Options
from batchrun.engine.runner import arun
from batchrun.job.sections import Job
from batchrun.records import Figures, Stop
from batchrun.report.bar import Silence
from batchrun.results.summary import Summary

INTERRUPTED = Stop(
    kind="interrupted", message="Ctrl-C; run the same command again to resume", exit_code=130, signal="SIGINT"
)

_LOOK_EVERY_S = 0.25
_GRACE_S = 2.0
"""How long a run may take to end after the second interrupt; then its thread is left behind."""


class Relay(Silence):
    """The progress of a run in another thread: hands everything over to the thread that shows it."""

    def __init__(self, shown: Any, hand_over: Callable[[Callable[[], None]], None]) -> None:
        self._shown, self._hand_over = shown, hand_over

    def begin(self, done_before: int) -> None:
        """Start."""
        self._hand_over(lambda: self._shown.begin(done_before))

    def show(self, figures: Figures) -> None:
        """Show the figures."""
        self._hand_over(lambda: self._shown.show(figures))

    def say(self, message: str) -> None:
        """Print a message, in Python's words."""
        self._hand_over(lambda: self._shown.say(in_python(message)))


class RunThread:
    """One run in its thread."""

    def __init__(self, job: Job, options: Options) -> None:
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._shown = options.progress
        self._job, self._options = job, replace(options, progress=Relay(self._shown, self._events.put))
        self._thread = threading.Thread(target=self._work, name="batchrun", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._has_ended = threading.Event()
        self._cancelled_s: float | None = None
        self._outcome: Summary | BaseException | None = None
        self.interrupts = 0
        """How often the run was interrupted."""

    def result(self) -> Summary:
        """Run, and return the summary; raises what the run raises, `CancelledError` after a second interrupt."""
        self._thread.start()
        with self._shown, handling_interrupts(self.interrupt):
            while not self._has_ended.is_set() and not self._is_left_behind():
                try:
                    self._show_next()
                except KeyboardInterrupt:  # of somebody else's handler
                    self.interrupt()
            while not self._events.empty():
                self._events.get()()
        if isinstance(self._outcome, Summary):
            return self._outcome
        raise asyncio.CancelledError if self._outcome is None else self._outcome

    def interrupt(self) -> None:
        """Drain the run; the second time, cancel it."""
        self.interrupts += 1
        if self.interrupts > 1 and self._cancelled_s is None:
            self._cancelled_s = time.monotonic()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self.interrupts == 1:
            self._options.interruption.interrupt(INTERRUPTED)
        elif self.interrupts > 1 and self._task is not None:
            self._task.cancel()

    def _show_next(self) -> None:
        try:
            event = self._events.get(timeout=_LOOK_EVERY_S)
        except Empty:
            return
        event()

    def _is_left_behind(self) -> bool:
        return self._cancelled_s is not None and time.monotonic() - self._cancelled_s > _GRACE_S

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._outcome = runner.run(self._run())
        except BaseException as problem:  # noqa: BLE001  # raised again in the caller's thread
            self._outcome = problem
        finally:
            self._has_ended.set()
            self._events.put(lambda: None)  # wakes the caller

    async def _run(self) -> Summary:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self.interrupts:  # before there was a loop
            self._stop()
        return await arun(self._job, self._options)


@contextmanager
def handling_interrupts(handle: Callable[[], None], *, always: bool = False) -> Iterator[None]:
    """Call `handle` for each SIGINT inside of this block, instead of raising KeyboardInterrupt anywhere in it.

    Args:
        handle: called in the main thread.
        always: also in the place of a handler that is not Python's own.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or not (always or before is signal.default_int_handler):
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: handle())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
