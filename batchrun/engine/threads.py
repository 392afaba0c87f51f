"""Blocking work in threads that end with the process: calls, or an iterator a few items ahead of its consumer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call in a daemon thread: Python does not wait for it at exit, as it does for an executor's."""
    async for result in Readahead(lambda: iter([call()])):
        return result
    raise AssertionError("one call has one result")


class OwnThread:
    """Makes calls one after the other, all in the same daemon thread."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Have a call made after those before it; return what will have its result."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future

    def end(self) -> None:
        """Have the thread end after these calls."""
        self._calls.put(None)

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            future, call = work
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001  # raised again where the result is asked for
                future.set_exception(error)


_AHEAD = 2
"""Items made before they are asked for: one that is ready, one that is being made."""


class _End:
    """Marks the end; carries what the iterator raised, if anything."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Readahead(Generic[T]):
    """Iterates in a daemon thread, so that a pipe that never ends does not keep the process."""

    def __init__(self, iterate: Callable[[], Iterator[T]]) -> None:
        self._iterate = iterate
        self._room = threading.Semaphore(_AHEAD)
        self._items: asyncio.Queue[T | _End] = asyncio.Queue()
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield the items; raises what the iterator raises."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="batchrun-reader", daemon=True).start()
        while not isinstance(item := await self._items.get(), _End):
            self._room.release()
            yield item
        if item.error is not None:
            raise item.error

    def close(self) -> None:
        """Let the thread end before its next item."""
        self._is_closed = True
        self._room.release()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._iterate():
                self._room.acquire()
                if self._is_closed:
                    return
                self._hand_over(item)
        except BaseException as problem:  # noqa: BLE001  # raised again in the consumer
            error = problem
        self._hand_over(_End(error))

    def _hand_over(self, item: T | _End) -> None:
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:
            self._is_closed = True  # the loop is closed: the consumer has ended
