"""How many requests are in flight, noted outside the database before each is sent: what a killed process leaves.

A commit for every request that is sent would cost more than the request. A store into a mapped page costs a tenth of a
microsecond, gives no other thread the interpreter's lock as a write would, and the system keeps it when the process is
killed. After a power cut the note is as old as the last forced commit.

What is noted is not the number in flight, but how many outcomes of sent requests there will be once all of these have
ended. The checkpoint has such outcomes too; `in_flight` is the difference. So it is right whenever either is read.
"""

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

from batchrun.errors import RunDirectoryError

FILE_NAME = ".in_flight"

_NOTE = struct.Struct("<qdq")


def in_flight(owed: int, outcomes: int, copies: int) -> int:
    """Return how many requests were sent and have no outcome yet.

    Args:
        owed: as noted.
        outcomes: in the checkpoint.
        copies: outcomes among these that were copied from a row that asks the same: nothing was sent for them.
    """
    return max(0, owed - (outcomes - copies))


class Note(NamedTuple):
    """What the note of a run directory says."""

    owed: int = 0
    """Outcomes that the checkpoint would have if every request that was sent were recorded."""
    usd: float = 0.0
    """Money spent and set aside; 0 without a cap."""
    tokens: int = 0
    """Tokens used and set aside; 0 without a cap."""


def noted_in(directory: Path) -> Note:
    """Return the note of a run directory, also while a run writes it; zeros where there is none."""
    try:
        content = (directory / FILE_NAME).read_bytes()
    except OSError:
        return Note()
    return Note._make(_NOTE.unpack_from(content)) if len(content) >= _NOTE.size else Note()


def owed_in(directory: Path) -> int:
    """Return how many outcomes are owed by the note of a run directory, also while a run writes it; 0 without one."""
    return noted_in(directory).owed


def _page_of(file: int) -> mmap.mmap:
    """Map the page of a note; write it first where it is not there in full."""
    if os.fstat(file).st_size != mmap.PAGESIZE:
        os.ftruncate(file, 0)
        os.write(file, bytes(mmap.PAGESIZE))  # not a hole: only here can a full disk be reported
        os.fsync(file)
    return mmap.mmap(file, mmap.PAGESIZE)


class Journal:
    """One note; each replaces the one before."""

    def __init__(self, directory: Path) -> None:
        """Open the note of a run directory; create it if there is none.

        Raises:
            RunDirectoryError: it cannot be opened or read.
        """
        self._path = path = directory / FILE_NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._page = _page_of(self._file)
            except BaseException:
                os.close(self._file)
                raise
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            cure = "make room, or make it writable, and run the same command again to resume"
            raise RunDirectoryError(f"{path}: cannot be read or written ({reason}); {cure}") from problem
        self._noted: tuple[int, float, int] = _NOTE.unpack_from(self._page)

    @property
    def owed(self) -> int:
        """Outcomes that the checkpoint will have, copies left out, once all that was sent has ended; as noted last."""
        return self._noted[0]

    @property
    def usd(self) -> float:
        """Money spent and set aside, as noted last; 0 without a cap on it."""
        return self._noted[1]

    @property
    def tokens(self) -> int:
        """Tokens used and set aside, as noted last; 0 without a cap on them."""
        return self._noted[2]

    def note(self, owed: int, usd: float = 0.0, tokens: int = 0) -> None:
        """Note what is owed, the money and the tokens; costs nothing when they have not changed."""
        noted = (owed, usd, tokens)
        if noted != self._noted:
            _NOTE.pack_into(self._page, 0, owed, usd, tokens)
            self._noted = noted

    def force(self) -> None:
        """Force the note to the disk."""
        os.fsync(self._file)

    def remove(self) -> None:
        """Remove the file: nothing is in flight, and all that was noted stands in the checkpoint."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._page.close()
        with contextlib.suppress(OSError):
            os.close(self._file)


class Owing:
    """The note of a run that sends: it follows what is sent, and the outcomes that are put into the checkpoint."""

    def __init__(self, journal: Journal, accepted: int) -> None:
        """Begin with what the note says of money and tokens.

        Args:
            journal: the note.
            accepted: outcomes in the checkpoint, copies left out.
        """
        self._journal = journal
        self.accepted = accepted
        """Outcomes put, over all executions; copies are not among them."""
        self._sending = 0, journal.usd, journal.tokens  # as noted last

    def sending(self, in_flight: int, usd: float = 0.0, tokens: int = 0) -> None:
        """Note how many requests are in flight, and money and tokens spent and set aside: before they are sent."""
        self._sending = in_flight, usd, tokens
        self._journal.note(self.accepted + in_flight, usd, tokens)

    def note_unsent(self) -> None:
        """Note an outcome that was just put and was not in flight, so that `sending` is not called when it ends."""
        self.sending(*self._sending)

    def reload(self, accepted: int) -> None:
        """Take note of how many outcomes there are now: those that have left are no longer owed."""
        owed = self._journal.owed + accepted - self.accepted
        self._journal.note(owed, self._journal.usd, self._journal.tokens)
        self.accepted = accepted
