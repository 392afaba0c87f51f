"""The pages of a damaged checkpoint and of its log, each in the version that counts. Reads, and changes nothing.

Theory of operation. The write-ahead log holds newer versions of pages, in frames. A frame states the checksum of all
frames up to it, so that each can be verified by the one before: damage to one frame costs that frame and at most the
next, while SQLite drops all that follow. The newest sound version of each page, up to the last commit, is what the
file holds. Pages that were superseded or freed, or were just being written, are read too: they may have rows whose
newer copy is lost.

Source: "Database File Format", sqlite.org/fileformat2.html, sections 1.3, 1.5 and 4.
"""

import os
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from batchrun.checkpoint.file import PAGE_BYTES, VECTOR_PAGE_BYTES
from batchrun.checkpoint.salvage.pages import Record, records

_MAGIC = b"SQLite format 3\x00"
_LOG_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""First word of a log: in which order of bytes its checksums are."""

_PAGE_SIZES = tuple(1 << power for power in range(9, 17))

_LOOKED_AT_BYTES = 4 << 20

_TABLE_PAGES = (b"\x05", b"\x0d")
"""First bytes of the pages of a table. Of random bytes, one of 128 is like them."""

_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24

Versions = dict[int, int]
"""Page number → where its frame's content begins in the log."""


class Found(NamedTuple):
    """A record, and whether it is where it counts."""

    record: Record
    is_current: bool
    """False where it stands on a page that was freed, or superseded, or not yet committed: it may be outdated."""


class DamagedFile:
    """A checkpoint that SQLite cannot read, or not to its end."""

    def __init__(self, path: Path, log: Path) -> None:
        """Open a file and its log; where one does not exist, it is empty."""
        self.page_bytes = PAGE_BYTES
        self._reserved_bytes = 0
        self.hidden_commits = 0
        """Sound commits in the log that SQLite cannot see, since one before them is broken."""
        with ExitStack() as opened:  # closes what is open when a later step fails
            self._file, self._file_bytes = _opened(path, opened)
            self._log, self._log_bytes = _opened(log, opened)
            self._read_sizes()
            self._committed, self._uncommitted = self._read_log()
            self._handles = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handles.close()

    def records(self) -> Iterator[Found]:
        """Yield every record that can be read, those that count first."""
        pages = self._file_bytes // self.page_bytes
        everything = [*range(1, pages + 1), *sorted(number for number in self._committed if number > pages)]
        free = self._free_pages()
        yield from self._scan((number for number in everything if number not in free), self._committed, True)
        yield from self._scan(sorted(free), self._committed, False)
        yield from self._scan(sorted(self._uncommitted), self._committed | self._uncommitted, False)
        yield from self._scan(sorted(number for number in self._committed if number <= pages), {}, False)

    def holding(self, text: bytes) -> Iterator[Record]:
        """Yield the records of the pages that have a text, in whatever version of the page."""
        pages = range(1, self._file_bytes // self.page_bytes + 1)
        kinds: list[tuple[Iterable[int], Versions]] = [(pages, {})]
        kinds += [(versions, versions) for versions in (self._committed, self._uncommitted)]
        for numbers, versions in kinds:
            holding = [number for number in numbers if text in (self._page(number, versions) or b"")]
            for found in self._scan(holding, versions, True):
                yield found.record

    def _scan(self, numbers: Iterator[int] | list[int], versions: Versions, is_current: bool) -> Iterator[Found]:
        usable_bytes = self.page_bytes - self._reserved_bytes
        longest_bytes = self._file_bytes + self._log_bytes

        def fetch(number: int) -> bytes | None:
            return self._page(number, versions)

        for number in numbers:
            page = fetch(number)
            if page is not None:
                for record in records(number, page, fetch, usable_bytes, longest_bytes):
                    yield Found(record, is_current)

    def _page(self, number: int, versions: Versions) -> bytes | None:
        frame = versions.get(number)
        if frame is not None:
            page = _read(self._log, frame, self.page_bytes)
        else:
            page = _read(self._file, (number - 1) * self.page_bytes, self.page_bytes) if number > 0 else b""
        return page if len(page) == self.page_bytes else None

    def _read_sizes(self) -> None:
        """Find out how large a page is: from the file, else from its log."""
        header = _read(self._file, 0, 100)
        if header.startswith(_MAGIC) and len(header) == 100:
            (size,) = struct.unpack_from(">H", header, 16)
            size = 1 << 16 if size == 1 else size
            if size in _PAGE_SIZES:
                self.page_bytes, self._reserved_bytes = size, header[20] if size - header[20] >= 480 else 0
                return
        words = struct.unpack(">3I", _read(self._log, 0, 12).ljust(12, b"\0"))
        if words[0] in _LOG_MAGICS and words[2] in _PAGE_SIZES:
            self.page_bytes = words[2]
        elif self._has_vector_pages():
            self.page_bytes = VECTOR_PAGE_BYTES

    def _has_vector_pages(self) -> bool:
        """Return whether pages of tables begin only where one of the large pages does, and not within one."""
        starts = [0, 0]
        for at in range(PAGE_BYTES, min(self._file_bytes, _LOOKED_AT_BYTES), PAGE_BYTES):
            starts[at % VECTOR_PAGE_BYTES == 0] += _read(self._file, at, 1) in _TABLE_PAGES
        inside, between = starts
        return between > inside

    def _read_log(self) -> tuple[Versions, Versions]:
        """Return the newest sound frame of each page: up to the last commit, and after it."""
        committed: Versions = {}
        pending: Versions = {}
        for number, commits, at in self._frames():
            pending[number] = at
            if commits:
                committed |= pending
                pending = {}
        return committed, pending

    def _frames(self) -> Iterator[tuple[int, bool, int]]:
        """Yield page number, whether it ends a transaction, and position, of each sound frame."""
        header = _read(self._log, 0, _LOG_HEADER_BYTES)
        if len(header) < _LOG_HEADER_BYTES:
            return
        magic, _, _, _, *salts, first, second = struct.unpack(">8I", header)
        order = _LOG_MAGICS.get(magic, "<" if sys.byteorder == "little" else ">")
        if magic not in _LOG_MAGICS:  # the header is noise: the first frame says of which age the others are
            salts = list(struct.unpack(">2I", _read(self._log, _LOG_HEADER_BYTES + 8, 8).ljust(8, b"\0")))
        is_broken = magic not in _LOG_MAGICS or _sums(header[:24], order, (0, 0)) != (first, second)
        before = first, second
        step = _FRAME_HEADER_BYTES + self.page_bytes
        for at in range(_LOG_HEADER_BYTES, self._log_bytes - step + 1, step):
            frame = _read(self._log, at, step)
            number, size, *ages, first, second = struct.unpack_from(">6I", frame)
            if ages == salts and number > 0 and _sums(frame, order, before) == (first, second):
                self.hidden_commits += is_broken and size != 0
                yield number, size != 0, at + _FRAME_HEADER_BYTES
            else:
                is_broken = True
            before = first, second

    def _free_pages(self) -> set[int]:
        """Return the pages that were freed, as far as the list of them can be followed."""
        header = self._page(1, self._committed)
        if header is None or not header.startswith(_MAGIC):
            return set()
        (trunk,) = struct.unpack_from(">I", header, 32)
        free: set[int] = set()
        while trunk and trunk not in free and (page := self._page(trunk, self._committed)) is not None:
            free.add(trunk)
            trunk, count = struct.unpack_from(">2I", page)
            if count > len(page) // 4 - 2:
                break  # no part of the list
            free.update(struct.unpack_from(f">{count}I", page, 8))
        return free


def _opened(path: Path, opened: ExitStack) -> tuple[int | None, int]:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None, 0
    opened.callback(os.close, handle)
    return handle, os.fstat(handle).st_size


def _read(handle: int | None, at: int, size: int) -> bytes:
    return b"" if handle is None else os.pread(handle, size, at)


def _sums(data: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    """Return the checksum of a log's header, or of a frame, which follows that of the one before it."""
    one, other = before
    covered = data if len(data) == _LOG_HEADER_BYTES - 8 else data[:8] + data[_FRAME_HEADER_BYTES:]
    words = iter(struct.unpack(f"{order}{len(covered) // 4}I", covered))
    for word in words:
        one = (one + word + other) & 0xFFFFFFFF
        other = (other + next(words) + one) & 0xFFFFFFFF
    return one, other
