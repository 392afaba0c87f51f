"""Reads the body of one answer in bounded memory, whatever the server sends. No policy.

An answer is read up to `MAX_ANSWER_BYTES`. Hundreds of connections may each send that much, so only `_LARGE_AT_ONCE`
answers at a time may be longer than `_LARGE_BYTES`. The others wait for their turn; TCP holds their senders back.
"""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from batchrun.answers.stream import StreamAssembler
from batchrun.endpoint.http.wire import Answer

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer that is read; a longer one fails its row."""

_LARGE_BYTES = 1 << 20
_LARGE_AT_ONCE = 4

_ERROR_BYTES = 1 << 20
"""How much of an error is read: its status decides, and few errors fill a page."""

_LINGER_S = 0.1
"""Longest wait for the end of a stream after `[DONE]`. It comes at once or never: some servers keep the stream open."""


class TooLong(Exception):
    """The answer is longer than `MAX_ANSWER_BYTES`."""


class BrokenOff(Exception):
    """A stream ended before the answer did."""


class BodyReader:
    """Reads the answers of one client."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(self, response: Answer, on_piece: Callable[[], None]) -> bytes:
        """Return the body; of a stream, the assembled chat completion; of an error, the beginning.

        Args:
            response: the answer, of which only the head has arrived.
            on_piece: called for each piece of a stream.

        Raises:
            TooLong: it is longer than `MAX_ANSWER_BYTES`.
            BrokenOff: a stream ended too early.
            aiohttp.ClientError: the connection broke, or the body is not HTTP.
        """
        if response.status != 200:
            return await _read_error(response)
        length = response.content_length
        is_stream = response.content_type == "text/event-stream"
        if length is not None and not is_stream and "Content-Encoding" not in response.headers:
            if length > MAX_ANSWER_BYTES:
                raise TooLong
            if length <= _LARGE_BYTES:
                return await response.content.read()
        with _Gauge(self._turns) as gauge:
            return await (_read_stream(response, gauge, on_piece) if is_stream else _read_whole(response, gauge))


class _Gauge:
    """Measures one answer as it arrives, and makes a large answer wait for its turn."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._size = 0
        self._has_turn = False

    def __enter__(self) -> "_Gauge":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            self._turns.release()

    def is_small(self, piece: bytes) -> bool:
        """Count a piece; return whether the answer is still small."""
        self._size += len(piece)
        return self._size <= _LARGE_BYTES

    async def admit(self) -> None:
        """Wait until this answer may be large.

        Raises:
            TooLong: it is longer than `MAX_ANSWER_BYTES`.
        """
        if not self._has_turn:
            await self._turns.acquire()
            self._has_turn = True
        if self._size > MAX_ANSWER_BYTES:
            raise TooLong


async def _read_error(response: Answer) -> bytes:
    """Return the beginning of an error's body, even if it breaks off: it is an error whatever follows."""
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ClientOSError):
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size >= _ERROR_BYTES:
                break
    return b"".join(pieces)[:_ERROR_BYTES]


async def _read_whole(response: Answer, gauge: _Gauge) -> bytes:
    pieces: list[bytes] = []
    async for piece in response.content.iter_any():
        if not gauge.is_small(piece):
            await gauge.admit()
        pieces.append(piece)
    return b"".join(pieces)


async def _read_stream(response: Answer, gauge: _Gauge, on_piece: Callable[[], None]) -> bytes:
    assembler = StreamAssembler()
    async for piece in response.content.iter_any():
        on_piece()
        if not gauge.is_small(piece):
            await gauge.admit()
        assembler.feed(piece)
        if assembler.done:
            await _read_to_end(response)
            break
    if not assembler.is_complete:
        raise BrokenOff
    return assembler.result()


async def _read_to_end(response: Answer) -> None:
    """Read the end of a body after its last event, if it arrives soon, so that the connection can be reused."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while not response.content.at_eof():
                await response.content.readany()
