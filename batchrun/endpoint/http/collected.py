"""Puts a body together from its pieces, and finds out by its first bytes whether it is a stream. Pure."""

import orjson

from batchrun.answers.events import is_stream
from batchrun.answers.stream import StreamAssembler
from batchrun.endpoint.http.compression import GZIP

_HEAD_BYTES = 400
"""How much of a body decides what it is."""

_FIELD_BYTES = len("event:")
"""Length of the longest field that an event begins with."""

_SPACE = b" \t\r\n\xef\xbb\xbf"
"""What may stand before the first character of a body: white space and a byte order mark."""


class BrokenOff(Exception):
    """A stream ended before the answer did."""


class Collected:
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

    @property
    def is_known(self) -> bool:
        """Whether it is known to be a stream, or not to be one."""
        return self._head is None

    @property
    def may_be_stream(self) -> bool:
        """Whether it is a stream, as far as is known."""
        return self.stream is not None or self.is_named_stream

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


def assembled(body: bytes, *, is_named_stream: bool) -> bytes:
    """Return a body that came whole; of a stream, the assembled chat completion."""
    collected = Collected(is_named_stream=is_named_stream)
    collected.add(body)
    return collected.result()


def _is_json(body: bytes) -> bool:
    """Return whether a body is an object that has come to its end."""
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False
