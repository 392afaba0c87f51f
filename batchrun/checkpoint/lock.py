"""One run at a time in a directory: a lock that the system releases when its process dies, however it dies."""

import errno
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from batchrun.errors import RunDirectoryError
from batchrun.storage.processes import is_alive

_LOCK = ".lock"
_HOLDER = ".lock.pid"

_LOOKS = 20
_LOOK_EVERY_S = 0.01
"""How long to wait for the holder's process number: it is written just after the lock is taken."""

_NO_ROOM = "free some space, and run the same command again"
_NOT_OURS = "make it writable, or use another -o DIR"
_CURES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EROFS: _NOT_OURS,
    errno.EMFILE: "allow this process more open files: ulimit -n 1024",
}


class DirectoryLock:
    """Holds a run directory; creates it if there is none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = FileLock(directory / _LOCK, timeout=0)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            RunDirectoryError: another process has it, or the directory cannot be created or written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            (self._directory / _HOLDER).write_text(str(os.getpid()))
        except Timeout as problem:
            raise RunDirectoryError(
                f"{self._directory}: is in use by another run{self._holder()}; wait for it, or use another -o DIR"
            ) from problem
        except (OSError, NotImplementedError) as problem:
            self._lock.release()
            reason = getattr(problem, "strerror", None) or str(problem)
            cure = _CURES.get(getattr(problem, "errno", None) or 0, "use another -o DIR")
            raise RunDirectoryError(f"{self._directory}: cannot be made or written ({reason}); {cure}") from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _holder(self) -> str:
        """Return which process has the lock, for a message; empty if that is not known."""
        for _ in range(_LOOKS):
            try:
                pid = int((self._directory / _HOLDER).read_text())
            except (OSError, ValueError):
                pid = 0
            if pid and is_alive(pid):  # otherwise it is the number of an earlier run
                return f" (process {pid})"
            time.sleep(_LOOK_EVERY_S)
        return ""
