"""Files that are replaced in one step: a reader finds the old one or the new one, never half of either."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from batchrun.errors import RunDirectoryError
from batchrun.storage.processes import is_alive

_SAFE = "the answers are safe in the checkpoint, and `batchrun export` writes the rest"

_CURES = {
    errno.ENOSPC: f"free some space; {_SAFE}",
    errno.EDQUOT: f"free some space or have your quota raised; {_SAFE}",
    errno.EACCES: f"make its folder writable; {_SAFE}",
    errno.EPERM: f"make its folder writable; {_SAFE}",
    errno.EROFS: f"make its folder writable; {_SAFE}",
    errno.EMFILE: f"allow this process more open files: ulimit -n 1024; {_SAFE}",
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, whose file takes the place of `path` when the block succeeds.

    The new content is on the disk before the name points to it. When the block fails, `path` is untouched and the
    temporary file is gone.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except (OSError, pa.ArrowException) as problem:
        raise RunDirectoryError(_explained(path, problem)) from problem
    finally:
        with suppress(OSError):  # whatever kept it from being written may keep it from being removed
            temporary.unlink(missing_ok=True)
    with suppress(OSError):  # not every system can sync a folder; the replacement is whole all the same
        _sync(path.parent)


def sweep(folder: Path) -> None:
    """Remove the temporary files that processes have left behind which died while they wrote."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if pid.isdecimal() and not is_alive(int(pid)):
            with suppress(OSError):  # a nuisance at most
                temporary.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)  # Windows syncs only what it may write
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(path: Path, problem: Exception) -> str:
    """Return path, reason and cure. Arrow's own messages are long; the system's say it in three words."""
    number = getattr(problem, "errno", None)
    reason = os.strerror(number) if number else str(problem)
    cure = _CURES.get(number or 0, f"see that its folder exists and can be written; {_SAFE}")
    return f"{path}: {reason}; {cure}"
