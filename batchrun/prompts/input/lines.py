"""The bytes of one text file, unpacked, in pieces or as blocks of whole lines: as they come, in constant memory."""

import codecs
import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

CHUNK_BYTES = 1 << 20
"""Most bytes in one read: larger reads are not faster, and a pipe gives less."""

_ZSTD_CHUNK_BYTES = 1 << 16
"""pyarrow waits until a read is full, and drops what it holds when the file breaks off: so read little at once."""

_GZIP_MAGIC = b"\x1f\x8b"
"""Source: RFC 1952, 2.3.1."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""Source: RFC 8878, 3.1.1. Neither can begin a text in UTF-8."""

_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""After a first byte from 0x50 to 0x5f: a frame to skip, with which some begin a file. Source: RFC 8878, 3.1.2."""

_HEAD_BYTES = 1 << 16
"""Read at once to look at a file's first bytes."""

_BOM = b"\xef\xbb\xbf"

MAX_LINE_BYTES = 128 << 20
"""Longest line. Twice what a request may hold, so that a file without newlines does not fill the memory."""

TOO_LONG = b"\xff too long"
"""Stands for a longer line. No UTF-8, so that nothing takes it for a row; known by its identity."""


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines, without their newlines."""

    number: int
    """Number of the first line in the file, from 1."""
    lines: list[bytes]
    start_bytes: int
    end_bytes: int
    """Where the block begins and ends in the file as it is packed; roughly, since it is read ahead."""

    @property
    def filled(self) -> int:
        """How many lines are not blank; quickly, because a resumed run passes over millions."""
        return len(self.lines) - self.lines.count(b"") - sum(map(bytes.isspace, self.lines))

    @cached_property
    def _ends(self) -> list[int]:
        """Where each line ends in the block, newlines included."""
        return list(accumulate(len(line) + 1 for line in self.lines))

    def bytes_before(self, line: int) -> int:
        """Return how much of the file lies before a line of this block, roughly."""
        count = min(line - self.number, len(self.lines))
        if count <= 0:
            return self.start_bytes
        return self.start_bytes + (self.end_bytes - self.start_bytes) * self._ends[count - 1] // self._ends[-1]


class Counted:
    """A binary stream that gives what is there without waiting for more, and counts it."""

    closed = False  # pyarrow asks

    def __init__(self, raw: BinaryIO) -> None:
        self._read: Callable[[int], bytes] = getattr(raw, "read1", raw.read)
        self._held = b""
        self.bytes_read = 0

    def close(self) -> None:
        """Do nothing: pyarrow calls this, but the stream belongs to the caller."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; empty at the end."""
        if self._held:
            chunk, self._held = self._held[:size], self._held[size:]
            return chunk
        chunk = self._read(size)
        self.bytes_read += len(chunk)
        return chunk

    def head(self, size: int) -> bytes:
        """Return the first bytes without taking them; fewer when there are no more."""
        while len(self._held) < size and (more := self._read(_HEAD_BYTES)):
            self._held += more
            self.bytes_read += len(more)
        return self._held[:size]


class Chunk(NamedTuple):
    """Consecutive unpacked bytes; never empty."""

    content: bytes
    end_bytes: int
    """Where they end in the file as it is packed; roughly, since it is read ahead."""


def chunks(
    raw: BinaryIO,
    check: Callable[[bytes], object] | None = None,
    encoding: str = "",
) -> Iterator[Chunk]:
    """Yield the bytes of a file, which may be packed by gzip or zstd.

    A packed file that breaks off raises `EOFError` or `OSError`, after what stands before the break was handed out.

    Args:
        raw: the file, at its beginning. A pipe is read as it fills.
        check: gets the first of the unpacked bytes; raises where they cannot be a text.
        encoding: of the text, which is yielded in UTF-8; empty for bytes as they are.
    """
    counted = Counted(raw)
    read = _unpacked(counted)
    if encoding:
        read = _transcoded(read, encoding)
    while content := read():
        if check is not None:
            check(content)
            check = None
        yield Chunk(content, counted.bytes_read)


def blocks(
    raw: BinaryIO,
    check: Callable[[bytes], object] | None = None,
    encoding: str = "",
) -> Iterator[Block]:
    """Yield the lines of a file, unpacked as `chunks` does it.

    Memory is that of a chunk or of the longest line; a line over `MAX_LINE_BYTES` is `TOO_LONG`.
    """
    return lines_of(chunks(raw, check, encoding))


def lines_of(source: Iterable[Chunk]) -> Iterator[Block]:
    """Yield the lines of consecutive bytes from the first of a file on."""
    number, start_bytes, end_bytes = 1, 0, 0
    held = _Line()
    for content, end_bytes in source:  # used after the loop
        *lines, rest = content.split(b"\n")
        if lines:
            held.add(lines[0])
            lines[0] = held.take()
            yield _block(number, lines, start_bytes, end_bytes)
            number, start_bytes = number + len(lines), end_bytes
        held.add(rest)
    if held.size_bytes:
        yield _block(number, [held.take()], start_bytes, end_bytes)


class _Line:
    """The line that the last chunks did not end: joined once, and dropped when it gets too long."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """Take the next part; may be empty."""
        self.size_bytes += len(part)
        if self.size_bytes > MAX_LINE_BYTES:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def take(self) -> bytes:
        """Return the line, and begin the next."""
        line = b"".join(self._parts) if self.size_bytes <= MAX_LINE_BYTES else TOO_LONG
        self.size_bytes, self._parts = 0, []
        return line


def _block(number: int, lines: list[bytes], start_bytes: int, end_bytes: int) -> Block:
    if number == 1:
        lines[0] = lines[0].removeprefix(_BOM)
    return Block(number, lines, start_bytes, end_bytes)


def _unpacked(counted: Counted) -> Callable[[], bytes]:
    """Return what reads the next bytes.

    gzip by the standard library: 274 MB/s here to pyarrow's 336, but it hands out what stands before a break.
    """
    head = counted.head(4)
    if head.startswith(_GZIP_MAGIC):
        unzipped = gzip.GzipFile(fileobj=counted, mode="rb")  # type: ignore[call-overload]  # it only ever calls read
        return lambda: unzipped.read1(CHUNK_BYTES)
    if head == _ZSTD_MAGIC or (head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5):
        stream = pa.CompressedInputStream(pa.PythonFile(counted, mode="r"), "zstd")
        return lambda: bytes(stream.read(_ZSTD_CHUNK_BYTES))
    return lambda: counted.read(CHUNK_BYTES)


_BROKEN = "batchrun.broken"
"""How bytes are decoded that are not text in their encoding: to half a surrogate pair, which is not UTF-8 either."""

codecs.register_error(_BROKEN, lambda problem: ("\udc80", cast(UnicodeDecodeError, problem).end))


def _transcoded(read: Callable[[], bytes], encoding: str) -> Callable[[], bytes]:
    """Return what reads the next bytes as UTF-8; those that are not text in the encoding spoil only their line."""
    decoder = codecs.getincrementaldecoder(encoding)(_BROKEN)

    def transcoded() -> bytes:
        try:
            while content := read():
                if text := decoder.decode(content):
                    return text.encode("utf-8", "surrogatepass")
            return decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeError as problem:  # no byte order mark, which no handler of errors is asked about
            order = f"; without a mark its byte order must be named, as in --encoding {encoding}-le"
            raise OSError(f"it is not {encoding}: {problem}{order}") from problem

    return transcoded
