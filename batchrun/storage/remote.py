"""A file that is elsewhere: what a store says of it, and reading it in parts that are worth a request each."""

import io
import os
import time
from collections.abc import Callable
from typing import NamedTuple

FIRST_BYTES = 1 << 16
"""Read at once at first, so that a look at the beginning of a large file costs little."""

_MOST_BYTES = 8 << 20
"""Read ahead at once, at most: at 50 ms a request, which is usual, 160 MB/s; and what a file holds in memory."""

_WAITS_S = (1.0, 2.0, 4.0)
"""Waits before a part is asked for again, after what the store's own client has tried."""


class Found(NamedTuple):
    """One file, as its store has it now."""

    url: str
    size_bytes: int
    """0 where the store does not say."""
    version: str
    """Another one when the content is another: a hash, an ETag, or when it was written."""


Fetch = Callable[[int, int], bytes]
"""(offset, size) → so many bytes, fewer only at the end of the file; raises `OSError`."""


class RemoteFile(io.RawIOBase):
    """Reads a remote file. What is read in order is read ahead, twice as much each time; elsewhere only what is asked.

    Each part is a request of its own: a run may take a day to go through a file, and no connection lasts so long.
    """

    def __init__(
        self,
        fetch: Fetch,
        size_bytes: int | None,
        close: Callable[[], object] = lambda: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Prepare to read; fetches nothing.

        Args:
            fetch: see there.
            size_bytes: how long the file is; None when nobody knows: then it has no end to seek from.
            close: called at the end.
            sleep: waits so many seconds.
        """
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._on_close = close
        self._sleep = sleep
        self._position = 0
        self._held = b""
        self._held_from = 0
        self._ahead_bytes = FIRST_BYTES // 2

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return whether it can be read from any place."""
        return self._size_bytes is not None

    def tell(self) -> int:
        """Return where it is read next."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; raises `OSError` where it would be counted from an end that is not known."""
        if whence == os.SEEK_END:
            if self._size_bytes is None:
                raise io.UnsupportedOperation("its server does not say how long it is; download it first")
            offset += self._size_bytes
        elif whence == os.SEEK_CUR:
            offset += self._position
        self._position = max(0, offset)
        return self._position

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            self._held = b""
            self._on_close()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, fewer only at the end; raises `OSError`."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(_MOST_BYTES), b""))
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

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any buffer will do
        """Fill a buffer; return how much of it."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def _from_held(self, size: int) -> bytes:
        start = self._position - self._held_from
        return self._held[start : start + size] if 0 <= start < len(self._held) else b""

    def _ahead(self, offset: int, least: int) -> bytes:
        """Return what stands at an offset, and hold it: more than the least where reading goes on in order."""
        is_next = offset == self._held_from + len(self._held)
        self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES) if is_next else FIRST_BYTES
        size = max(least, self._ahead_bytes)
        if self._size_bytes is not None:
            size = min(size, self._size_bytes - offset)
        self._held = self._tried(offset, size) if size > 0 else b""
        self._held_from = offset
        return self._held

    def _tried(self, offset: int, size: int) -> bytes:
        for wait_s in _WAITS_S:
            try:
                return self._whole(offset, size)
            except (FileNotFoundError, PermissionError, io.UnsupportedOperation):
                raise
            except OSError:
                self._sleep(wait_s)
        return self._whole(offset, size)

    def _whole(self, offset: int, size: int) -> bytes:
        data = self._fetch(offset, size)
        if len(data) < size and self._size_bytes is not None:
            raise ConnectionError("its store broke off")  # else what is missing would look like the end
        return data
