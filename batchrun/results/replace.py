"""Replaces files in one step: a reader finds the old files or the new ones, never half of a file."""

import errno
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from batchrun.errors import RunDirectoryError
from batchrun.storage.force import force, force_names
from batchrun.storage.processes import is_alive

_SAFE = "the answers are safe in the checkpoint"

_WRITABLE = "make its folder writable, or work on a copy of the run directory: cp -r {run} COPY"

_CURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or have your quota raised",
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: _WRITABLE,
    errno.EMFILE: "allow this process more open files: ulimit -n 1024",
}
"""Error number → what helps, with `{run}` for the run directory. The command that failed then works."""


_COMMANDS = {"report.html": "report"}
"""File → the command that writes it, if it is not `export`."""


class Replacements:
    """New files that wait to take the places of old ones."""

    def __init__(self) -> None:
        self._waiting: dict[Path, Path] = {}
        """Path → the temporary file that is to become it."""

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Yield a temporary path in the same folder, for the caller to write the new file to.

        When the block succeeds, the new content is on the disk. When it fails, the temporary file is removed.

        Raises:
            RunDirectoryError: the file cannot be written.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with _explaining(path):
                yield temporary
                force(temporary)
        except BaseException:
            _remove(temporary)
            raise
        self._waiting[path] = temporary

    def move(self) -> None:
        """Put all files into their places, the first one last: a reader who finds it new finds the others new too.

        Raises:
            RunDirectoryError: a file cannot be put into its place.
        """
        for path, temporary in reversed(self._waiting.items()):
            with _explaining(path):
                temporary.replace(path)
        for folder in {path.parent for path in self._waiting}:
            force_names(folder)  # where it cannot be done, the files are whole anyway

    def discard(self) -> None:
        """Remove the temporary files that are left."""
        for temporary in self._waiting.values():
            _remove(temporary)


@contextmanager
def replacing_together() -> Iterator[Replacements]:
    """Replace several files when the block succeeds; when it fails, all old files stay.

    A check of the new files belongs at the end of the block.

    Raises:
        RunDirectoryError: a file cannot be written.
    """
    files = Replacements()
    try:
        yield files
        files.move()
    finally:
        files.discard()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; its file takes the place of `path` when the block succeeds.

    When the block fails, `path` is untouched and the temporary file is removed.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    with replacing_together() as files, files.writing(path) as temporary:
        yield temporary


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders of processes that died while they wrote."""
    for temporary in folder.glob(".*.tmp"):
        pid = temporary.name.split(".")[-2]
        if pid.isdecimal() and not is_alive(int(pid)):
            _remove(temporary)


def _remove(temporary: Path) -> None:
    with suppress(OSError):  # the reason why it could not be written may also prevent its removal
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as problem:
        raise RunDirectoryError(_explained(path, problem)) from problem


def _explained(path: Path, problem: Exception) -> str:
    """Return path, reason and cure. Arrow's own messages are long; the system's need three words."""
    number = getattr(problem, "errno", None)
    reason = os.strerror(number) if number else str(problem)
    run = shlex.quote(str(path.parent))
    cure = _CURES.get(number or 0, "see that its folder exists and can be written").format(run=run)
    command = f"batchrun {_COMMANDS.get(path.name, 'export')} {run}"
    return f"{path}: {reason}; {cure}; {_SAFE}; then: {command}"
