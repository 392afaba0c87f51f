"""A remote file: what its store reports about it, and its readers: in parts that can be retried, or as one stream."""

import io
import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from batchrun.storage.urls import Place

T = TypeVar("T")

FIRST_BYTES = 1 << 16
"""The first read, small so that reading only the beginning of a large file costs little."""

_MOST_BYTES = 8 << 20
"""The largest read ahead, and so the memory per file. At the usual 50 ms per request it gives 160 MB/s."""

_WAITS_S = (1.0, 2.0, 4.0)
"""Waits before retries, which come after the retries of the store's own client."""

Sleep = Callable[[float], object]
"""Waits for a number of seconds."""


class Found(NamedTuple):
    """One file in the state in which it was found."""

    place: Place
    size_bytes: int
    """0 where the store does not report it."""
    version: str
    """Changes when the content changes: a hash, an ETag, or the time of writing."""


Fetch = Callable[[int, int], bytes]
"""(offset, size) → that many bytes, fewer only at the end of the file. Raises `OSError`."""


def tried(call: Callable[[], T], sleep: Sleep = time.sleep) -> T:
    """Return the result of a call, with retries: a store may be away for a moment. Raises `OSError`."""
    for wait_s in _WAITS_S:
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            sleep(wait_s)
    return call()


class _Remote(io.RawIOBase):
    """Reads in order from the current position. Base of both readers."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._on_close = close
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._on_close()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end. Raises `OSError`."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(_MOST_BYTES), b""))
        found = self.read1(size)
        while len(found) < size and (more := self.read1(size - len(found))):
            found += more
        return found

    def read1(self, size: int) -> bytes:
        """Return at most `size` bytes, from one request; none only at the end. Raises `OSError`."""
        raise NotImplementedError

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any buffer will do
        """Fill a buffer; return the number of bytes."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


class RemoteFile(_Remote):
    """Reads a remote file in parts. Sequential reads fetch ahead, twice as much each time; others only what they need.

    Each part is a separate request: a run may take a day to read a file, and no connection lasts that long.
    """

    def __init__(
        self,
        fetch: Fetch,
        size_bytes: int,
        close: Callable[[], object] = lambda: None,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Prepare to read. Fetches nothing.

        Args:
            fetch: see `Fetch`.
            size_bytes: length of the file.
            close: called at the end.
            sleep: waits before a part is requested again.
        """
        super().__init__(close)
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._sleep = sleep
        self._held = b""
        self._held_from = 0
        self._ahead_bytes = FIRST_BYTES // 2

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._held = b""
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end. Raises `OSError`."""
        if size is None or size < 0:
            return super().read()
        found = self._from_held(size)
        if len(found) < size:
            found += self._ahead(self._position + len(found), size - len(found))[: size - len(found)]
        self._position += len(found)
        return found

    def read1(self, size: int) -> bytes:
        """Return at most `size` bytes, from one request; none only at the end. Raises `OSError`."""
        found = self._from_held(size) or self._ahead(self._position, 1)[:size]
        self._position += len(found)
        return found

    def _from_held(self, size: int) -> bytes:
        start = self._position - self._held_from
        return self._held[start : start + size] if 0 <= start < len(self._held) else b""

    def _ahead(self, offset: int, least: int) -> bytes:
        """Return the bytes at an offset and keep them: at least `least`, more when reads are sequential."""
        is_next = offset == self._held_from + len(self._held)
        self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES) if is_next else FIRST_BYTES
        size = min(max(least, self._ahead_bytes), self._size_bytes - offset)
        self._held = tried(lambda: self._whole(offset, size), self._sleep) if size > 0 else b""
        self._held_from = offset
        return self._held

    def _whole(self, offset: int, size: int) -> bytes:
        data = self._fetch(offset, size)
        if len(data) < size:
            raise ConnectionError(
                "the store ended the transfer early"
            )  # otherwise the missing rest would look like the end
        return data


class RemoteStream(_Remote):
    """Reads a file that can be streamed only once. A failed transfer cannot be retried: every later read fails too."""

    def __init__(self, give: Callable[[int], bytes], close: Callable[[], object]) -> None:
        """Prepare to read.

        Args:
            give: size → at most that many of the next bytes; none only at the end of the file. Raises `OSError`.
            close: called at the end.
        """
        super().__init__(close)
        self._give = give
        self._problem: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Refuse: a stream has no other position."""
        raise io.UnsupportedOperation("the server sends this file only as a whole, from its start; download it first")

    def read1(self, size: int) -> bytes:
        """Return at most `size` bytes; none only at the end. Raises `OSError`, and then on every later call."""
        if self._problem is not None:
            raise self._problem  # a read after the failure must not look like the end
        try:
            found = self._give(size)
        except OSError as problem:
            self._problem = problem
            raise
        self._position += len(found)
        return found
