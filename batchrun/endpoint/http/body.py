"""Reads the body of one answer, in bounded memory, whatever is sent. No policy.

An answer is read up to `MAX_ANSWER_BYTES`. There may be hundreds of connections, and each may send that much: so only
`_LARGE_AT_ONCE` answers at a time may be longer than `_LARGE_BYTES`. The others wait for their turn, and their senders
are held back by TCP meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from batchrun.answers.stream import StreamAssembler
from batchrun.endpoint.http.wire import Answer

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer that is read; more is a failure of its row."""

_LARGE_BYTES = 1 << 20
_LARGE_AT_ONCE = 4

_ERROR_BYTES = 1 << 20
"""How much is read of an error: its status decides, and a page of it is too much already."""

_LINGER_S = 0.1
"""How long the end of a stream is waited for after `[DONE]`. It comes at once, or never: some servers keep it open."""


class TooLong(Exception):
    """The answer is longer than any that is read."""


class BrokenOff(Exception):
    """A stream ended before the answer did."""


class BodyReader:
    """Reads the answers of one client."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(self, response: Answer, on_piece: Callable[[], None]) -> bytes:
        """Return the body; of a stream, the assembled chat completion; of an error, the beginning.

        Args:
            response: whose headers have come.
            on_piece: called whenever a piece of a stream has come.

        Raises:
            TooLong: it is longer than `MAX_ANSWER_BYTES`.
            BrokenOff: a stream ended too early.
            aiohttp.ClientError: the connection broke, or what came is not HTTP.
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
    """Measures one answer as it comes in, and makes a large one wait for its turn."""

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
        """Count a piece; return whether it may be kept without another question."""
        self._size += len(piece)
        return self._size <= _LARGE_BYTES

    async def admit(self) -> None:
        """Wait until this answer may be large.

        Raises:
            TooLong: it has become longer than any may be.
        """
        if not self._has_turn:
            await self._turns.acquire()
            self._has_turn = True
        if self._size > MAX_ANSWER_BYTES:
            raise TooLong


async def _read_error(response: Answer) -> bytes:
    """Return the beginning of an error's body, also of one that breaks off: it is an error whatever follows."""
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
    """Read what ends a body after its last event, so that the connection can be used again, if it comes soon."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while not response.content.at_eof():
                await response.content.readany()
