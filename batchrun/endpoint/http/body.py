"""Reads the body of one answer in bounded memory, whatever the server sends. No policy.

An answer is read up to `MAX_ANSWER_BYTES`. Hundreds of connections may each send that much, so only `_LARGE_AT_ONCE`
answers at a time may be longer than `_LARGE_BYTES`. The others wait for their turn; TCP holds their senders back.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache, partial

import aiohttp

from batchrun.answers.events import is_stream
from batchrun.answers.plain import ordinary_usage
from batchrun.endpoint.http.charset import in_utf8
from batchrun.endpoint.http.collected import Collected, assembled
from batchrun.endpoint.http.compression import GZIP, Unpacker, unpacked
from batchrun.endpoint.http.receiver import Receiver
from batchrun.endpoint.http.sweep import Sweep
from batchrun.endpoint.http.wire import Answer
from batchrun.records import Usage

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer that is read; a longer one fails its row."""

_LARGE_BYTES = 1 << 20
_LARGE_AT_ONCE = 4

_ERROR_BYTES = 1 << 20
"""How much of an error is read: its status decides, and few errors fill a page."""

_CUT = (aiohttp.ClientPayloadError, aiohttp.ClientOSError)
"""Errors of a body that ends before its frame does."""

_LOOK_BYTES = 1 << 14
"""How much of a long answer is collected before it is read: some 70 tokens of a stream."""

_LINGER_S = 0.1
"""Longest wait for the end of a stream after `[DONE]`. It comes at once or never: some servers keep the stream open."""


class TooLong(Exception):
    """The answer is longer than `MAX_ANSWER_BYTES`."""


class BodyReader:
    """Reads the answers of one client."""

    def __init__(self, sweep: Sweep) -> None:
        """Begin; `sweep` looks at the streams meanwhile."""
        self._sweep = sweep
        self._turns = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(self, answer: Answer, on_piece: Callable[[], None], *, is_chat: bool) -> tuple[bytes, Usage | None]:
        """Return the body; of a stream, the assembled chat completion; of an error, the beginning.

        With it, the token counts of a body that came whole and is an ordinary chat completion: see `Reply`.

        A body is a stream if it looks like one, whatever its content type: some gateways change or drop the type. A
        body that breaks off after the end of its answer is whole: only the frame of HTTP around it is not.

        Args:
            answer: of which only the head has arrived.
            on_piece: called when more of a stream has arrived, some times a second.
            is_chat: whether a chat completion was asked for.

        Raises:
            TooLong: it is longer than `MAX_ANSWER_BYTES`.
            BrokenOff: a stream ended too early.
            aiohttp.ClientError: the connection broke, or the body is not HTTP.
        """
        content_type = answer.header("content-type") or ""
        is_named_stream = _media_type(content_type) == "text/event-stream"
        if not (answer.body.is_complete and 200 <= answer.status < 300 and b"content-encoding" not in answer.headers):
            body = await self._read(answer, on_piece, is_named_stream=is_named_stream)
            return in_utf8(body, content_type), None
        body = answer.body.take()
        usage = ordinary_usage(body) if is_chat else None
        if usage is None:
            body = _unwrapped(body, is_named_stream=is_named_stream)
        return in_utf8(body, content_type), usage

    async def _read(self, answer: Answer, on_piece: Callable[[], None], *, is_named_stream: bool) -> bytes:
        """Return a body of which more is to come, an error or one that is compressed."""
        if not 200 <= answer.status < 300:
            return unpacked(await _read_error(answer), MAX_ANSWER_BYTES)
        is_packed = b"content-encoding" in answer.headers
        if not (is_packed or is_named_stream) and 0 <= _length(answer) <= _LARGE_BYTES:
            return _unwrapped(await _read_whole(answer), is_named_stream=False)
        if not (is_packed or is_named_stream) and _length(answer) > MAX_ANSWER_BYTES:
            raise TooLong
        body = await self._read_long(answer, on_piece, is_named_stream=is_named_stream)
        return _unpacked(body, is_named_stream=is_named_stream)

    async def _read_long(self, answer: Answer, on_piece: Callable[[], None], *, is_named_stream: bool) -> bytes:
        """Return a body that may be long, or a stream."""
        collected, is_known = Collected(is_named_stream=is_named_stream), False
        try:
            with _Gauge(self._turns) as gauge:
                more = _reader(answer)
                while piece := await more():
                    if collected.may_be_stream:
                        on_piece()
                    if not gauge.is_small(piece):
                        await gauge.admit()
                    collected.add(piece)
                    if collected.stream is not None and collected.stream.done:
                        await _read_to_end(answer)
                        break
                    if collected.is_known and not is_known:
                        is_known = True
                        answer.body.look_every(_LOOK_BYTES)
                        if collected.stream is not None:
                            self._sweep.watch(answer.body, on_piece)
                    del piece  # each stream would keep its last 16 kB while it waits for the next ones
        except _CUT:
            if (whole := collected.whole()) is None:
                raise
            return whole
        finally:
            self._sweep.forget(answer.body)
        return collected.result()


def _unwrapped(body: bytes, *, is_named_stream: bool) -> bytes:
    """Return a body that came whole; of a stream, the assembled chat completion."""
    if is_named_stream or is_stream(body):
        body = assembled(body, is_named_stream=is_named_stream)
    return _unpacked(body, is_named_stream=is_named_stream)


def _unpacked(body: bytes, *, is_named_stream: bool) -> bytes:
    """Return what is in a body that is compressed without saying so; else the body."""
    if not body.startswith(GZIP):
        return body
    return assembled(unpacked(body, MAX_ANSWER_BYTES), is_named_stream=is_named_stream)


@lru_cache
def _media_type(content_type: str) -> str:
    """Return a content type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _length(answer: Answer) -> int:
    """Return the stated length of a body; -1 without one."""
    length = answer.content_length
    return -1 if length is None else length


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


async def _read_error(answer: Answer) -> bytes:
    """Return the beginning of an error's body, even if it breaks off: it is an error whatever follows."""
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(*_CUT):
        more = _reader(answer)
        while size < _ERROR_BYTES and (piece := await more()):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)[:_ERROR_BYTES]


def _reader(answer: Answer) -> Callable[[], Awaitable[bytes]]:
    """Return what reads the next piece of a body, nothing at its end; what is in it, if it is or may be compressed."""
    encoding = answer.header("content-encoding")
    return answer.body.more if encoding is None else partial(anext, _unpacked_pieces(answer.body, encoding), b"")


async def _unpacked_pieces(body: Receiver, encoding: str) -> AsyncIterator[bytes]:
    unpacker = Unpacker(encoding)
    try:
        while packed := await body.more():
            for piece in unpacker.feed(packed):
                if piece:
                    yield piece
        yield unpacker.rest
    except zlib.error as error:
        raise aiohttp.ClientPayloadError from error


async def _read_whole(answer: Answer) -> bytes:
    """Return a small body."""
    pieces: list[bytes] = []
    try:
        while piece := await answer.body.more():
            pieces.append(piece)
    except _CUT:
        collected = Collected(is_named_stream=False)
        collected.add(b"".join(pieces))
        if (whole := collected.whole()) is None:
            raise
        return whole
    return b"".join(pieces)


async def _read_to_end(answer: Answer) -> None:
    """Read the end of a body after its last event, if it arrives soon, so that the connection can be reused."""
    answer.body.look_every(0)
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while await answer.body.more():
                pass
