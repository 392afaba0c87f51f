"""Standard input, kept in a file while it is read, since it cannot be read twice.

The file has a temporary name until `keep`: a run that is refused leaves the file of the run before as it was.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from batchrun.errors import RunDirectoryError
from batchrun.prompts.input.lines import CHUNK_BYTES, chunks


class Spool:
    """A stream of the unpacked bytes of standard input, for one reader; each is in the file before it is handed out."""

    def __init__(self, stdin: BinaryIO, path: Path) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            stdin: read as it fills; may be packed.
            path: of the file; that of an earlier run may be there. An empty pipe leaves it as it is.
        """
        self._chunks = chunks(stdin)
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file: BinaryIO | None = None
        self._is_kept = self._is_closed = False
        self._compared: BinaryIO | None = None  # what `is_continued` has read, to be handed out first
        self._problem: Exception | None = None

    def is_continued(self) -> bool:
        """Return whether standard input begins with all that an earlier run has kept; call it before reading.

        Waits for as many bytes as that run has kept, and for no more.
        """
        try:
            with self._path.open("rb") as before:
                return self._begins_with(before, before.seek(0, os.SEEK_END))
        except FileNotFoundError:
            return False
        finally:
            if self._file is not None:
                self._compared = self._temporary.open("rb")

    def _begins_with(self, before: BinaryIO, size_bytes: int) -> bool:
        before.seek(0)
        while size_bytes:
            try:
                content = self._next()
            except (OSError, EOFError, zlib.error, pa.ArrowException) as problem:
                self._problem = problem  # raised where the reader comes to it
                return False
            expected = before.read(len(content))
            if not content or content[: len(expected)] != expected:
                return False
            size_bytes -= len(expected)
        return True

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes, as many as there are; empty at the end.

        Raises:
            EOFError, OSError, zlib.error, ArrowException: standard input is packed and breaks off.
            RunDirectoryError: the file cannot be written.
        """
        if self._compared is not None:
            if content := self._compared.read(CHUNK_BYTES):
                return content
            self._compared.close()
            self._compared = None
        if self._problem is not None:
            raise self._problem
        return self._next()

    read = read1

    def _next(self) -> bytes:
        chunk = next(self._chunks, None)
        if self._is_closed:  # the run may have ended while a pipe was waited for
            return b""
        if chunk is None:
            self._force()
            return b""
        try:
            if self._file is None:
                self._file = self._temporary.open("wb", buffering=0)
            rest = memoryview(chunk.content)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as problem:
            raise self._unwritable(problem) from problem
        return chunk.content

    def _force(self) -> None:
        """Force all that was read to the disk: a power cut must not take rows whose answers stay."""
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file.fileno())

    def keep(self) -> None:
        """Give the file its name, in the place of an earlier run's; what is read later is appended to it.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        if self._file is None or self._is_kept:
            return
        try:
            os.fsync(self._file.fileno())
            self._temporary.replace(self._path)
        except OSError as problem:
            raise self._unwritable(problem) from problem
        self._is_kept = True

    def reopen(self) -> BinaryIO:
        """Return the file, for reading from its beginning."""
        return (self._path if self._is_kept else self._temporary).open("rb")

    def close(self) -> None:
        """Close the file; remove it unless it was kept. Standard input stays open: it is the caller's."""
        self._is_closed = True
        for each in (self._file, self._compared):
            if each is not None:
                each.close()
        if self._file is not None and not self._is_kept:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _unwritable(self, problem: OSError) -> RunDirectoryError:
        return RunDirectoryError(f"{self._path}: cannot be written: {problem.strerror}")
