"""Unpacks a body that is compressed, by what its first bytes are, whatever its head says. Pure.

Requests ask for no compression. Some gateways compress anyway, without a word or under a name; others keep the name of
a compression that they have undone.
"""

import zlib
from collections.abc import Iterator

GZIP = b"\x1f\x8b\x08"
"""What a gzip file begins with. Source: RFC 1952."""

_AT_ONCE_BYTES = 1 << 20
"""Most that is unpacked at once: a small piece may hold a thousand times as much."""

_ZLIB_METHOD = 8
_ZLIB_MULTIPLE = 31
"""The first half byte of a zlib stream, and what its first two bytes are a multiple of. Source: RFC 1950."""

_TEXT = b" \t\r\n{[<\"':d\xef"
"""What plain answers begin with: JSON, a page, or the `data:` of a stream. A deflate stream begins otherwise."""


class Unpacker:
    """Unpacks one body, piece by piece."""

    def __init__(self, encoding: str) -> None:
        """Begin; `encoding` is what the head of the answer says."""
        self._may_be_deflate = "deflate" in encoding.lower()
        self._head = b""
        self._packed: zlib._Decompress | None = None
        self._is_known = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what is in a piece, in pieces of up to 1 MiB.

        Raises:
            zlib.error: it is broken.
        """
        if not self._is_known:
            self._head += piece
            if len(self._head) < len(GZIP):
                return
            piece, self._is_known = self._head, True
            window = self._window(piece)
            self._packed = None if window is None else zlib.decompressobj(wbits=window)
        if self._packed is None:
            yield piece
            return
        while piece and not self._packed.eof:
            yield self._packed.decompress(piece, _AT_ONCE_BYTES)
            piece = self._packed.unconsumed_tail

    @property
    def rest(self) -> bytes:
        """What was too short to be known, once nothing follows."""
        return b"" if self._is_known else self._head

    def _window(self, head: bytes) -> int | None:
        """Return the window of zlib for a body that begins so; None if it is not packed."""
        if head.startswith(GZIP):
            return 16 + zlib.MAX_WBITS
        if not self._may_be_deflate or head[0] in _TEXT:
            return None
        is_wrapped = head[0] & 0xF == _ZLIB_METHOD and int.from_bytes(head[:2]) % _ZLIB_MULTIPLE == 0
        return zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS


def unpacked(body: bytes, most_bytes: int) -> bytes:
    """Return what is in a body that is compressed without saying so, up to a length; else the body."""
    if not body.startswith(GZIP):
        return body
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(body, most_bytes)
    except zlib.error:
        return body
