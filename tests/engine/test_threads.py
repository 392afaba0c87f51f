"""Blocking work in threads: an iterator that is read ahead, and calls."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from batchrun.engine.threads import OwnThread, Readahead


def collected(items: Readahead[int]) -> list[int]:
    async def collect() -> list[int]:
        return [item async for item in items]

    return asyncio.run(collect())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_all_items_come_in_order(count: int) -> None:
    """However many there are."""
    assert collected(Readahead(lambda: iter(range(count)))) == list(range(count))


def test_what_the_iterator_raises_reaches_the_consumer() -> None:
    """After the items before it."""

    def breaking() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    async def main() -> None:
        items = aiter(Readahead(breaking))
        assert await anext(items) == 1
        with pytest.raises(KeyError, match="gone"):
            await anext(items)

    asyncio.run(main())


def test_it_reads_only_a_few_items_ahead() -> None:
    """Ten million rows are not read into memory while the first are sent."""
    made: list[int] = []
    third = threading.Event()

    def counting() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    async def main() -> None:
        with contextlib.closing(Readahead(counting)) as items:
            iterator = aiter(items)
            assert await anext(iterator) == 0
            assert await asyncio.to_thread(third.wait, 5)
            for number in range(1, 10):
                assert await anext(iterator) == number
                assert len(made) <= number + 4
            await iterator.aclose()

    asyncio.run(main())


def test_closing_lets_the_thread_end() -> None:
    """It reads nothing more."""
    made: list[int] = []
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(1)
                yield 1
        finally:
            ended.set()

    async def main() -> None:
        with contextlib.closing(Readahead(endless)) as items:
            iterator = aiter(items)
            await anext(iterator)
            await iterator.aclose()
        assert await asyncio.to_thread(ended.wait, 5)

    asyncio.run(main())
    assert len(made) <= 5


def test_a_pipe_that_never_ends_does_not_keep_the_consumer() -> None:
    """The consumer stops and the loop closes; rows that arrive later are ignored."""
    reads, writes = os.pipe()
    done = threading.Event()

    def from_pipe() -> Iterator[bytes]:
        try:
            yield b"first"
            yield os.read(reads, 1)
        finally:
            done.set()

    async def main() -> None:
        with contextlib.closing(Readahead(from_pipe)) as items:
            iterator = aiter(items)
            assert await anext(iterator) == b"first"
            await iterator.aclose()

    asyncio.run(main())
    os.write(writes, b"x")
    assert done.wait(5)
    os.close(reads)
    os.close(writes)


def test_calls_are_made_in_one_thread_one_after_the_other() -> None:
    """And what they raise is raised where the result is asked for."""
    thread = OwnThread("own")
    calls = [thread.submit(threading.current_thread), thread.submit(lambda: 1 // 0), thread.submit(lambda: 3)]
    thread.end()
    assert (calls[0].result(10).name, calls[2].result(10)) == ("own", 3)
    assert calls[0].result().daemon
    with pytest.raises(ZeroDivisionError):
        calls[1].result()
