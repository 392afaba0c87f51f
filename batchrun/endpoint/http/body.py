"""Reads the body of one answer in bounded memory, whatever the server sends. No policy.

An answer is read up to `MAX_ANSWER_BYTES`. Hundreds of connections may each send that much, so only `_LARGE_AT_ONCE`
answers at a time may be longer than `_LARGE_BYTES`. The others wait for their turn; TCP holds their senders back.
"""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import orjson

from batchrun.answers.events import is_stream
from batchrun.answers.stream import StreamAssembler
from batchrun.endpoint.http.charset import in_utf8
from batchrun.endpoint.http.compression import GZIP, Unpacker, unpacked
from batchrun.endpoint.http.wire import Answer

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer that is read; a longer one fails its row."""

_LARGE_BYTES = 1 << 20
_LARGE_AT_ONCE = 4

_ERROR_BYTES = 1 << 20
"""How much of an error is read: its status decides, and few errors fill a page."""

_HEAD_BYTES = 400
"""How much of a body decides what it is."""

_FIELD_BYTES = len("event:")
"""Length of the longest field that an event begins with."""

_SPACE = b" \t\r\n\xef\xbb\xbf"
"""What may stand before the first character of a body: white space and a byte order mark."""

_CUT = (aiohttp.ClientPayloadError, aiohttp.ClientOSError)
"""Errors of a body that ends before its frame does."""

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

        A body is a stream if it looks like one, whatever its content type: some gateways change or drop the type. A
        body that breaks off after the end of its answer is whole: only the frame of HTTP around it is not.

        Args:
            response: the answer, of which only the head has arrived.
            on_piece: called for each piece of a stream.

        Raises:
            TooLong: it is longer than `MAX_ANSWER_BYTES`.
            BrokenOff: a stream ended too early.
            aiohttp.ClientError: the connection broke, or the body is not HTTP.
        """
        if not 200 <= response.status < 300:
            return in_utf8(
                unpacked(await _read_error(response), MAX_ANSWER_BYTES), response.headers.get("Content-Type", "")
            )
        length = response.content_length
        is_named_stream = response.content_type == "text/event-stream"
        if length is None or length > _LARGE_BYTES or is_named_stream or "Content-Encoding" in response.headers:
            body = await self._read_long(response, length, on_piece, is_named_stream=is_named_stream)
        else:
            body = await _read_whole(response)
            if is_stream(body):
                body = _assembled(body, is_named_stream=is_named_stream)
        if body.startswith(GZIP):
            body = _assembled(unpacked(body, MAX_ANSWER_BYTES), is_named_stream=is_named_stream)
        return in_utf8(body, response.headers.get("Content-Type", ""))

    async def _read_long(
        self, response: Answer, length: int | None, on_piece: Callable[[], None], *, is_named_stream: bool
    ) -> bytes:
        """Return a body that may be long, or a stream."""
        is_plain = not is_named_stream and "Content-Encoding" not in response.headers
        if is_plain and length is not None and length > MAX_ANSWER_BYTES:
            raise TooLong
        with _Gauge(self._turns) as gauge:
            return await _read_pieces(response, _Collected(is_named_stream=is_named_stream), gauge, on_piece)


class _Collected:
    """A body in pieces: a stream is assembled as it arrives, anything else is kept as it is."""

    def __init__(self, *, is_named_stream: bool) -> None:
        self.is_named_stream = is_named_stream
        """Whether the content type says that it is a stream."""
        self.stream: StreamAssembler | None = None
        """Assembles it; None before it is known to be a stream."""
        self._pieces: list[bytes] = []
        self._head: bytes | None = b""

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        if self.stream is not None:
            self.stream.feed(piece)
            return
        self._pieces.append(piece)
        if self._head is not None:
            self._head = (self._head + piece).lstrip(_SPACE)
            if self._shows(self._head):
                self._decide(self._head)

    def _shows(self, head: bytes) -> bool:
        """Return whether the first bytes show what the body is."""
        if head.startswith(b"{"):  # one chunk after the other, or one object
            return b"\n" in head or len(head) >= _HEAD_BYTES
        return len(head) >= _FIELD_BYTES or (bool(head) and self.is_named_stream)

    def _decide(self, head: bytes) -> None:
        self._head = None
        if is_stream(head) or (self.is_named_stream and head[:1] not in (b"{", b"[", b"<", GZIP[:1])):
            self.stream = StreamAssembler()
            self.stream.feed(b"".join(self._pieces))
            self._pieces = []

    def result(self) -> bytes:
        """Return the body, or the assembled stream.

        Raises:
            BrokenOff: the stream ended too early.
        """
        if self._head is not None:
            self._decide(self._head)
        if self.stream is None:
            return b"".join(self._pieces)
        self.stream.close()
        if not self.stream.is_complete:
            raise BrokenOff
        return self.stream.result()

    def whole(self) -> bytes | None:
        """Return the answer in what arrived before the connection broke; None when its end is missing."""
        if self._head is not None:
            self._decide(self._head)
        if self.stream is None:
            body = b"".join(self._pieces)
            return body if _is_json(body) else None
        self.stream.close()
        return self.stream.result() if self.stream.has_ended else None


def _assembled(body: bytes, *, is_named_stream: bool) -> bytes:
    """Return a body that came whole; of a stream, the assembled chat completion."""
    collected = _Collected(is_named_stream=is_named_stream)
    collected.add(body)
    return collected.result()


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
    try:
        async for piece in _pieces(response):
            pieces.append(piece)
            size += len(piece)
            if size >= _ERROR_BYTES:
                break
    except _CUT:
        pieces.append(response.rest())
    return b"".join(pieces)[:_ERROR_BYTES]


def _pieces(response: Answer) -> AsyncIterator[bytes]:
    encoding = response.headers.get("Content-Encoding")
    return response.content.iter_any() if encoding is None else _unpacked_pieces(response, Unpacker(encoding))


async def _unpacked_pieces(response: Answer, unpacker: Unpacker) -> AsyncIterator[bytes]:
    """Yield what is in a body that is or may be compressed."""
    try:
        async for packed in response.content.iter_any():
            for piece in unpacker.feed(packed):
                yield piece
        yield unpacker.rest
    except _CUT:
        for piece in unpacker.feed(response.rest()):
            yield piece
        raise
    except zlib.error as error:
        raise aiohttp.ClientPayloadError from error


async def _read_whole(response: Answer) -> bytes:
    """Return a small body."""
    pieces: list[bytes] = []
    try:
        while piece := await response.content.readany():
            pieces.append(piece)
    except _CUT:
        collected = _Collected(is_named_stream=False)
        collected.add(b"".join(pieces) + response.rest())
        if (whole := collected.whole()) is None:
            raise
        return whole
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _read_pieces(response: Answer, collected: _Collected, gauge: _Gauge, on_piece: Callable[[], None]) -> bytes:
    try:
        async for piece in _pieces(response):
            if collected.stream is not None or collected.is_named_stream:
                on_piece()
            if not gauge.is_small(piece):
                await gauge.admit()
            collected.add(piece)
            if collected.stream is not None and collected.stream.done:
                await _read_to_end(response)
                break
    except _CUT:
        collected.add(response.rest())
        if (whole := collected.whole()) is None:
            raise
        return whole
    return collected.result()


def _is_json(body: bytes) -> bool:
    """Return whether a body is an object that has come to its end."""
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


async def _read_to_end(response: Answer) -> None:
    """Read the end of a body after its last event, if it arrives soon, so that the connection can be reused."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while not response.content.at_eof():
                await response.content.readany()
