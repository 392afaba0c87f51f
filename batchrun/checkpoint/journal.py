"""How many requests are on their way, noted outside the database before each is sent: what a killed process leaves.

A commit for every request that is sent would cost more than the request. One write of 16 bytes over themselves costs a
microsecond, and the system keeps it when the process is killed. After a power cut the note is as old as the last
forced commit.
"""

import contextlib
import os
import struct
from pathlib import Path

from batchrun.errors import RunDirectoryError

FILE_NAME = ".in_flight"

_NOTE = struct.Struct("<qd")


class Journal:
    """One note, written over the one before."""

    def __init__(self, directory: Path) -> None:
        """Open the note of a run directory; make it where there is none.

        Raises:
            RunDirectoryError: it cannot be opened or read.
        """
        self._path = directory / FILE_NAME
        self._noted = (0, 0.0)
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            said = os.read(self._file, _NOTE.size)
        except OSError as problem:
            raise self._unusable(problem) from problem
        if len(said) == _NOTE.size:
            self._noted = _NOTE.unpack(said)

    @property
    def owed(self) -> int:
        """Outcomes that the checkpoint would have, were everything recorded that was sent; as noted last."""
        return self._noted[0]

    @property
    def usd(self) -> float:
        """Money spent and set aside, as noted last; 0 without a cap."""
        return self._noted[1]

    def note(self, owed: int, usd: float = 0.0) -> None:
        """Note what is owed, and the money; costs nothing when it is what it was.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        noted = (owed, usd)
        if noted != self._noted:
            try:
                os.pwrite(self._file, _NOTE.pack(owed, usd), 0)
            except OSError as problem:
                raise self._unusable(problem) from problem
            self._noted = noted

    def force(self) -> None:
        """Have the note on the disk."""
        os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _unusable(self, problem: OSError) -> RunDirectoryError:
        cure = "make room, or make it writable, and run the same command again: it goes on from here"
        return RunDirectoryError(f"{self._path}: cannot be read or written ({problem.strerror}); {cure}")
