"""The receiving end of a connection: what is collected, and when the task that waits is woken."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.http_exceptions import HttpProcessingError

from batchrun.endpoint.http import receiver as receiver_module
from batchrun.endpoint.http.receiver import Receiver

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Transport:
    """What a receiver does to its connection."""

    def __init__(self) -> None:
        self.is_reading, self.is_closed = True, False

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def receive(use: Callable[[Receiver, Transport], Awaitable[None]]) -> None:
    """Use a receiver that expects an answer."""

    async def main() -> None:
        receiver, transport = Receiver(asyncio.get_running_loop()), Transport()
        receiver.connection_made(transport)  # type: ignore[arg-type]
        receiver.begin()
        await use(receiver, transport)

    asyncio.run(asyncio.wait_for(main(), 10))


async def wakes(receiver: Receiver, task: asyncio.Task[bytes]) -> bool:
    """Return whether a task has ended, once it had the time to."""
    for _ in range(3):
        await asyncio.sleep(0)
    return task.done()


def test_a_task_is_woken_when_much_has_come_when_it_is_asked_for_and_at_the_end() -> None:
    """Nothing wakes it for a single piece."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(HEAD)
        await receiver.head()
        receiver.look_every(100)
        task = asyncio.create_task(receiver.more())
        receiver.data_received(chunk(b"a"))
        assert not await wakes(receiver, task)
        receiver.look()
        assert await task == b"a"
        task = asyncio.create_task(receiver.more())
        receiver.look()
        receiver.data_received(chunk(b"b" * 30))
        assert not await wakes(receiver, task)
        receiver.data_received(chunk(b"c" * 70))
        assert await task == b"b" * 30 + b"c" * 70
        task = asyncio.create_task(receiver.more())
        receiver.data_received(chunk(b"d") + b"0\r\n\r\n")
        assert await task == b"d"
        assert await receiver.more() == b""
        assert not receiver.should_close

    receive(use)


def test_a_short_answer_is_waited_for_to_its_end_and_a_long_one_to_its_head() -> None:
    """One wake-up for most rows."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        task = asyncio.create_task(receiver.head())
        await asyncio.sleep(0)
        receiver.data_received(SHORT[:-2])
        assert not await wakes(receiver, task)  # type: ignore[arg-type]
        receiver.data_received(SHORT[-2:])
        await task
        assert (receiver.is_complete, await receiver.more()) == (True, b"hello")
        receiver.begin()
        receiver.data_received(SHORT.replace(b"5", b"500000"))
        await receiver.head()
        assert (receiver.is_complete, receiver.status) == (False, 200)

    receive(use)


def test_a_sender_is_held_back_while_nobody_reads() -> None:
    """And let go on once what has come is read."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(HEAD)
        while transport.is_reading:
            receiver.data_received(chunk(b"a" * 10_000))
        assert receiver.arrived_bytes < receiver_module._PAUSE_BYTES + 20_000
        assert len(await receiver.more()) > 100_000
        assert transport.is_reading

    receive(use)


@pytest.mark.parametrize(
    ("data", "status", "rest"),
    [
        (b"", 0, aiohttp.ServerDisconnectedError),
        (b"HTTP/1.1 200", 0, aiohttp.ServerDisconnectedError),
        (HEAD + chunk(b"a"), 200, aiohttp.ClientPayloadError),
        (SHORT[:-1], 200, aiohttp.ClientPayloadError),
        (b"HTTP/1.1 200 OK\r\n\r\na", 200, None),
    ],
)
def test_what_has_come_is_read_before_a_break_shows(data: bytes, status: int, rest: type[Exception] | None) -> None:
    """An answer without a length ends with its connection."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(data)
        receiver.connection_lost(None)
        if not status:
            assert rest is not None
            with pytest.raises(rest):
                await receiver.head()
            assert receiver.has_begun == bool(data)
            return
        await receiver.head()
        assert await receiver.more() == (b"hell" if data.startswith(SHORT[:-1]) else b"a")
        if rest is None:
            assert await receiver.more() == b""
        else:
            with pytest.raises(rest):
                await receiver.more()

    receive(use)


def test_bytes_after_an_answer_close_the_connection() -> None:
    """With the answer, or while nothing is expected: nobody may take them for the next answer."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(SHORT + SHORT)
        await receiver.head()
        assert (await receiver.more(), transport.is_closed, receiver.should_close) == (b"hello", True, True)

    async def later(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(SHORT)
        await receiver.head()
        assert (await receiver.more(), transport.is_closed, receiver.should_close) == (b"hello", False, False)
        receiver.data_received(SHORT)
        assert (await receiver.more(), transport.is_closed, receiver.should_close) == (b"", True, True)

    receive(use)
    receive(later)


def test_a_connection_with_an_answer_that_nobody_read_is_closed() -> None:
    """Its bytes would be the beginning of the next one."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(SHORT)
        await receiver.head()
        assert receiver.should_close

    receive(use)


@pytest.mark.parametrize("lengths", [b"Content-Length: 5\r\nX-A: b\r\ncontent-length: 5", b"Content-Length: 5, 5"])
def test_an_answer_with_its_length_twice_is_read(lengths: bytes) -> None:
    """And so is the next one on the connection."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        for _ in range(2):
            receiver.data_received(b"HTTP/1.1 200 OK\r\n" + lengths + b"\r\n\r\nhello")
            await receiver.head()
            assert (receiver.status, await receiver.more()) == (200, b"hello")
            assert receiver.headers[b"content-length"] == b"5"
            assert receiver.is_complete
            assert not receiver.should_close
            receiver.begin()

    receive(use)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        SHORT + SHORT.replace(b"Content-Length: 5", b"Content-Length: 5, 5"),
    ],
)
def test_lengths_that_differ_are_refused(data: bytes) -> None:
    """So is a second answer to one request, whatever it states."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(data)
        assert transport.is_closed
        if not receiver.status:
            with pytest.raises(HttpProcessingError):
                await receiver.head()

    receive(use)


@pytest.mark.parametrize("again", [b"y" * 5_000, b"x: y\r\n" * 999])
def test_a_frame_without_an_answer_in_it_ends(again: bytes) -> None:
    """Extensions of a chunk or trailers, for ever: memory does not grow."""

    async def use(receiver: Receiver, transport: Transport) -> None:
        receiver.data_received(HEAD + (b"0\r\n" if again.startswith(b"x") else b"1;x="))
        await receiver.head()
        for _ in range(100):
            receiver.data_received(again)
        with pytest.raises(HttpProcessingError):
            await receiver.more()
        assert transport.is_closed

    receive(use)


@pytest.mark.parametrize("is_used", [True, False])
def test_a_lost_connection_is_freed_at_once(*, is_used: bool) -> None:
    """It and its parser refer to each other, and the search for such cycles comes late."""

    async def main() -> "weakref.ref[Receiver]":
        receiver = Receiver(asyncio.get_running_loop())
        receiver.connection_made(Transport())  # type: ignore[arg-type]
        if is_used:
            receiver.begin()
            receiver.data_received(HEAD + chunk(b"a"))
            assert await receiver.more() == b"a"
        receiver.connection_lost(None)
        return weakref.ref(receiver)

    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()
