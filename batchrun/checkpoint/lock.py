"""One run at a time in a directory: a lock that the system takes back when its process dies, however it dies."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from batchrun.errors import RunDirectoryError

_LOCK = ".lock"
_HOLDER = ".lock.pid"


class DirectoryLock:
    """Holds a run directory; makes it where there is none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = FileLock(directory / _LOCK, timeout=0)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            RunDirectoryError: another process has it, or the directory cannot be made or written.
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
            reason = getattr(problem, "strerror", None) or str(problem)
            self._lock.release()
            raise RunDirectoryError(
                f"{self._directory}: cannot be made or written ({reason}); use another -o DIR"
            ) from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _holder(self) -> str:
        try:
            return f" (process {int((self._directory / _HOLDER).read_text())})"
        except (OSError, ValueError):
            return ""
