"""One run at a time in a directory: a lock that the system releases when its process dies, however it dies.

The file of the lock is removed by the process that holds it, as the last thing it does. Another process may have opened
it before: then it locks a file that has no name any more, while a third one makes a new file and locks that. So a lock
counts only if its file is still the one in the directory.
"""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, SoftFileLock, Timeout

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
        self._file: os.stat_result | None = None  # of the file that is locked, unless it is removed by `filelock`

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            RunDirectoryError: another process has it, or the directory cannot be created or written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._acquire()
            (self._directory / _HOLDER).write_text(str(os.getpid()))
        except Timeout as problem:
            raise RunDirectoryError(
                f"{self._directory}: is in use by another run{self._holder()}; wait for it, or use another -o DIR"
            ) from problem
        except (OSError, NotImplementedError) as problem:
            self._release()
            reason = getattr(problem, "strerror", None) or str(problem)
            cure = _CURES.get(getattr(problem, "errno", None) or 0, "use another -o DIR")
            raise RunDirectoryError(f"{self._directory}: cannot be made or written ({reason}); {cure}") from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _acquire(self) -> None:
        """Lock the file that is in the directory.

        Raises:
            Timeout: another process has locked it.
        """
        path = self._directory / _LOCK
        for _ in range(_LOOKS):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # while open, no file gets its number
            try:
                opened = os.fstat(file)
                try:
                    self._lock.acquire()
                except Timeout:
                    if _is_at(path, opened):
                        raise
                    continue  # it was removed meanwhile: the directory is free, or another process is faster
                if isinstance(self._lock, SoftFileLock):  # where the system has no locks
                    return
                if _is_at(path, opened):
                    self._file = opened
                    return
                self._lock.release()
            finally:
                os.close(file)
        raise Timeout(str(path))

    def _release(self) -> None:
        """Remove the files, if the directory was not moved or replaced, and release the lock."""
        if self._file is not None and _is_at(self._directory / _LOCK, self._file):
            for name in (_HOLDER, _LOCK):  # the lock last: after it, the directory may be another process's
                with suppress(OSError):  # where it cannot be written any more, the file stays
                    (self._directory / name).unlink(missing_ok=True)
        self._file = None
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


def _is_at(path: Path, file: os.stat_result) -> bool:
    """Return whether a path is that of a file that was opened."""
    try:
        return os.path.samestat(path.stat(), file)
    except OSError:
        return False
