"""The bodies of outcomes as they are stored: packed with a dictionary that was learned from the run's first answers.

Theory of operation. The answers of a run are short and alike: names of fields, the model, words of one subject. Packed
one by one they hardly shrink; with a dictionary, which has what they share, they become a quarter. Each is still packed
for itself, so that one can be read, moved or recovered without the others. The dictionary is learned once, as soon as
there are enough answers, and stays. It is stored in the same file before the first body that needs it. As all these
are lost without it, there are copies of it, on pages that are far apart: two at first, then another one each time
the file has twice as many answers. Each fills a page, so that no other is on it, and has a label, by which a salvage
finds it. The second moves the first from the head of the table to a page next to its own: so it does not wait.

Source: "Zstandard Compression", RFC 8878, section 5 (dictionaries). Measured on chat completions of 560 to 610 bytes
with English texts: 3,900 bytes learned from 500 of them make 0.19 to 0.26 of a body at level 1, in 1.9 to 2.4 µs, and
are unpacked in 1.1; 112 KiB learned from 8,000 make 0.18 to 0.25.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from batchrun.checkpoint.file import PAGE_BYTES

if TYPE_CHECKING:
    import sqlite3

    import zstandard

LABEL = "batchrun's dictionary of answers"
"""Before the content of each copy."""

LEARN_ROWS = 500
"""From how many answers a dictionary is learned."""

_SAMPLE_BYTES = 1024
"""How much of each; with these it takes 35 ms."""

_DICTIONARY_BYTES = 3900
_COPY_BYTES = 3960
"""Of a copy: more than half of a page, and no more than SQLite keeps on one page of 4,096."""

_LEAST_SAMPLES, _LEAST_SAMPLE_BYTES = 100, 64
"""From fewer, or from shorter ones, zstd cannot learn; from some it ends the process by a division by zero."""

_FIRST_COPIES = 2

_LEVEL = 1

_WORTH = 0.9
"""A dictionary that makes no less of the answers than this part is not used.

Vectors, whose files have larger pages, are never packed: their digits become half, at 5 ns a byte, which is 100 µs for
a vector of 1,024 numbers."""

_SAMPLES = "SELECT body FROM outcomes WHERE kind IS NULL AND body IS NOT NULL ORDER BY id LIMIT ?"
_READ = "SELECT number, content, checksum FROM dictionaries"
_INSERT = "INSERT INTO dictionaries VALUES (NULL, ?, ?, ?, ?)"


def sound(copies: Iterable[Sequence[Any]]) -> dict[int, bytes]:
    """Return the dictionaries by number, given number, content and checksum of each copy; damaged ones are left out."""
    return {number: content for number, content, its_sum in copies if crc32(content) == its_sum}


def read_dictionaries(connection: sqlite3.Connection) -> dict[int, bytes]:
    """Return the dictionaries of a checkpoint by number."""
    return sound(connection.execute(_READ))


def write_dictionary(connection: sqlite3.Connection, number: int, content: bytes) -> None:
    """Store a copy of a dictionary."""
    label = LABEL.ljust(_COPY_BYTES - len(content))
    connection.execute(_INSERT, (label, number, content, crc32(content)))


@cache
def _zstandard() -> Any:
    """Import zstandard at its first use; an import statement takes as long as half of the unpacking, each time."""
    import zstandard

    return zstandard


class Unpacker:
    """Unpacks bodies."""

    def __init__(self, dictionaries: dict[int, bytes]) -> None:
        self._dictionaries = dictionaries
        self._decompressors: dict[int, zstandard.ZstdDecompressor] = {}

    def unpack(self, body: bytes, number: int) -> bytes:
        """Return a body as it was received, given the number of its dictionary.

        Raises:
            ValueError: the dictionary is lost, or the body is not packed with it.
        """
        return self._unpacked([body], number)[0]

    def unpack_all(self, bodies: Sequence[bytes | None], numbers: Sequence[int | None]) -> list[bytes | None]:
        """Return bodies likewise; those without a number are not packed."""
        number = numbers[0] if numbers else None
        if number is not None and numbers.count(number) == len(numbers) and None not in bodies:  # nearly always
            return list(self._unpacked(bodies, number))
        return [
            body if number is None or body is None else self.unpack(body, number)
            for body, number in zip(bodies, numbers, strict=True)
        ]

    def _unpacked(self, bodies: Iterable[bytes | None], number: int) -> list[bytes]:
        try:
            return list(map(self._of(number).decompress, bodies))  # type: ignore[arg-type]  # none of them is None
        except (KeyError, _zstandard().ZstdError, MemoryError) as problem:
            raise ValueError("a packed answer cannot be read") from problem

    def _of(self, number: int) -> zstandard.ZstdDecompressor:
        found = self._decompressors.get(number)
        if found is None:
            dictionary = _zstandard().ZstdCompressionDict(self._dictionaries[number])
            found = self._decompressors[number] = _zstandard().ZstdDecompressor(dict_data=dictionary)
        return found


def size_of(body: bytes | None, number: int | None) -> int:
    """Return the length of a body when it is unpacked, as far as its head tells."""
    if body is None or number is None:
        return 0 if body is None else len(body)
    try:
        return max(len(body), int(_zstandard().frame_content_size(body)))
    except _zstandard().ZstdError:
        return len(body)


def unpacked_bytes(bodies: Sequence[bytes | None]) -> int:
    """Return the length of packed bodies together when they are unpacked, as far as their heads tell."""
    try:
        return sum(map(_zstandard().frame_content_size, bodies))
    except (_zstandard().ZstdError, TypeError):  # one of them is damaged
        return sum(size_of(body, 0) for body in bodies)


class Dictionary(NamedTuple):
    """What bodies are packed with."""

    number: int
    """In the checkpoint."""
    content: bytes


class Packer:
    """Packs the bodies that are written to one checkpoint: here, or in another process, which gets the dictionary."""

    def __init__(self) -> None:
        self.dictionary: Dictionary | None = None
        """What bodies are packed with; None while they are stored as they are. The checkpoint has it already."""
        self._compressor: zstandard.ZstdCompressor | None = None
        self._copies = 0
        self._is_useless = False

    def load(self, connection: sqlite3.Connection) -> None:
        """Use the dictionary that the checkpoint has."""
        dictionaries = read_dictionaries(connection)
        self.dictionary, self._compressor, self._copies = None, None, 0
        self._is_useless = connection.execute("PRAGMA page_size").fetchone() != (PAGE_BYTES,)
        if dictionaries:
            number = max(dictionaries)
            self.use(Dictionary(number, dictionaries[number]))
            query = "SELECT count(*) FROM dictionaries WHERE number = ?"
            (self._copies,) = connection.execute(query, (number,)).fetchone()

    def pack(self, body: bytes | None) -> tuple[bytes | None, int | None]:
        """Return a body as it is stored, and the number of its dictionary; None where it is stored as it is."""
        if self._compressor is None or self.dictionary is None or body is None:
            return body, None
        packed = self._compressor.compress(body)
        return (packed, self.dictionary.number) if len(packed) < len(body) else (body, None)

    def keep_up(self, connection: sqlite3.Connection, completed: int) -> None:
        """Learn a dictionary once there are enough answers; store a copy each time there are twice as many rows.

        Args:
            connection: to the checkpoint, without open transaction.
            completed: its rows that have an answer.
        """
        if completed < LEARN_ROWS << max(0, self._copies - 1) or self._is_useless:
            return
        if self.dictionary is None:
            samples = [body[:_SAMPLE_BYTES] for (body,) in connection.execute(_SAMPLES, (LEARN_ROWS,))]
            learned = _learned(samples)
            if learned is None:
                self._is_useless = True
                return
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM dictionaries").fetchone()
            for _ in range(_FIRST_COPIES):
                write_dictionary(connection, last + 1, learned)
            self.use(Dictionary(last + 1, learned))
            self._copies = _FIRST_COPIES
        else:
            write_dictionary(connection, *self.dictionary)
            self._copies += 1

    def use(self, dictionary: Dictionary) -> None:
        """Pack with this dictionary from now on."""
        self.dictionary, self._compressor = dictionary, _compressor(dictionary.content)


def _learned(samples: Sequence[bytes]) -> bytes | None:
    """Return a dictionary for answers like these; None where it would not help."""
    import zstandard

    distinct: list[Any] = [each for each in dict.fromkeys(samples) if len(each) >= _LEAST_SAMPLE_BYTES]
    if len(samples) < LEARN_ROWS or not distinct:
        return None
    content = b"".join(distinct)[-_DICTIONARY_BYTES:]
    try:
        if len(distinct) >= _LEAST_SAMPLES:
            content = zstandard.train_dictionary(_DICTIONARY_BYTES, distinct).as_bytes()
        compressor = _compressor(content)
        packed = sum(len(compressor.compress(each)) for each in samples)
    except zstandard.ZstdError:
        return None
    return content if packed < _WORTH * sum(map(len, samples)) else None


def _compressor(content: bytes) -> zstandard.ZstdCompressor:
    import zstandard

    dictionary = zstandard.ZstdCompressionDict(content)
    dictionary.precompute_compress(level=_LEVEL)
    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary, write_checksum=False, write_dict_id=False)
