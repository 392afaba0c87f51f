"""A file that is elsewhere: what a store says of it, and reading it: in parts that can be asked for again, or once."""

import io
import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from batchrun.storage.urls import Place

T = TypeVar("T")

FIRST_BYTES = 1 << 16
"""Read at once at first, so that a look at the beginning of a large file costs little."""

_MOST_BYTES = 8 << 20
"""Read ahead at once, at most: at 50 ms a request, which is usual, 160 MB/s; and what a file holds in memory."""

_WAITS_S = (1.0, 2.0, 4.0)
"""Waits before something is asked for again, after what the store's own client has tried."""

Sleep = Callable[[float], object]
"""Waits so many seconds."""


class Found(NamedTuple):
    """One file, as its store has it now."""

    place: Place
    size_bytes: int
    """0 where the store does not say."""
    version: str
    """Another one when the content is another: a hash, an ETag, or when it was written."""


Fetch = Callable[[int, int], bytes]
"""(offset, size) → so many bytes, fewer only at the end of the file; raises `OSError`."""


def tried(call: Callable[[], T], sleep: Sleep = time.sleep) -> T:
    """Return what a call returns, after some waits if need be: a store may be away for a moment. Raises `OSError`."""
    for wait_s in _WAITS_S:
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            sleep(wait_s)
    return call()


class _Remote(io.RawIOBase):
    """What is read in order, wherever that begins."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._on_close = close
        self._position = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def tell(self) -> int:
        """Return where it is read next."""
        return self._position

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            self._on_close()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, fewer only at the end; raises `OSError`."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(_MOST_BYTES), b""))
        found = self.read1(size)
        while len(found) < size and (more := self.read1(size - len(found))):
            found += more
        return found

    def read1(self, size: int) -> bytes:
        """Return at most so many bytes, of what one request gives; none only at the end; raises `OSError`."""
        raise NotImplementedError

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any buffer will do
        """Fill a buffer; return how much of it."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


class RemoteFile(_Remote):
    """Reads a remote file. What is read in order is read ahead, twice as much each time; elsewhere only what is asked.

    Each part is a request of its own: a run may take a day to go through a file, and no connection lasts so long.
    """

    def __init__(
        self,
        fetch: Fetch,
        size_bytes: int,
        close: Callable[[], object] = lambda: None,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Prepare to read; fetches nothing.

        Args:
            fetch: see there.
            size_bytes: how long the file is.
            close: called at the end.
            sleep: waits before a part is asked for again.
        """
        super().__init__(close)
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._sleep = sleep
        self._held = b""
        self._held_from = 0
        self._ahead_bytes = FIRST_BYTES // 2

    def seekable(self) -> bool:
        """Return that it can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def close(self) -> None:
        """Let go of the file."""
        self._held = b""
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, fewer only at the end; raises `OSError`."""
        if size is None or size < 0:
            return super().read()
        found = self._from_held(size)
        if len(found) < size:
            found += self._ahead(self._position + len(found), size - len(found))[: size - len(found)]
        self._position += len(found)
        return found

    def read1(self, size: int) -> bytes:
        """Return at most so many bytes, of what one request gives; none only at the end; raises `OSError`."""
        found = self._from_held(size) or self._ahead(self._position, 1)[:size]
        self._position += len(found)
        return found

    def _from_held(self, size: int) -> bytes:
        start = self._position - self._held_from
        return self._held[start : start + size] if 0 <= start < len(self._held) else b""

    def _ahead(self, offset: int, least: int) -> bytes:
        """Return what stands at an offset, and hold it: more than the least where reading goes on in order."""
        is_next = offset == self._held_from + len(self._held)
        self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES) if is_next else FIRST_BYTES
        size = min(max(least, self._ahead_bytes), self._size_bytes - offset)
        self._held = tried(lambda: self._whole(offset, size), self._sleep) if size > 0 else b""
        self._held_from = offset
        return self._held

    def _whole(self, offset: int, size: int) -> bytes:
        data = self._fetch(offset, size)
        if len(data) < size:
            raise ConnectionError("its store broke off")  # else what is missing would look like the end
        return data


class RemoteStream(_Remote):
    """Reads a file that comes in one piece, once: what broke off cannot be asked for again, and stays broken."""

    def __init__(self, give: Callable[[int], bytes], close: Callable[[], object]) -> None:
        """Prepare to read.

        Args:
            give: size → at most so many of the bytes that follow; none only at the end of the file; raises `OSError`.
            close: called at the end.
        """
        super().__init__(close)
        self._give = give
        self._problem: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Refuse."""
        raise io.UnsupportedOperation("its server gives it only whole, from the start; download it first")

    def read1(self, size: int) -> bytes:
        """Return at most so many bytes; none only at the end; raises `OSError`, and then always."""
        if self._problem is not None:
            raise self._problem  # after it, nothing may look like the end
        try:
            found = self._give(size)
        except OSError as problem:
            self._problem = problem
            raise
        self._position += len(found)
        return found
