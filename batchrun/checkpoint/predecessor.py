"""Sets the checkpoint of a run aside that starts over: its answers were paid for, so it is kept under another name.

A power cut may keep one change of a name and lose the next. So what a killed run has left in the log goes into the file
first: then one rename takes all of it. The log of a damaged checkpoint stays as it is. It gets its second name before
the file is renamed, and loses its first one after that: so each file always has its log by its side.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint import in_flight
from batchrun.checkpoint.salvage.examine import examine
from batchrun.checkpoint.salvage.swap import has_content, name_again
from batchrun.checkpoint.tables import FILE_NAME, LOGS
from batchrun.errors import RunDirectoryError
from batchrun.storage.force import force_names


class SetAside(NamedTuple):
    """A checkpoint that was renamed, so that a run can start without it."""

    directory: Path
    kept: Path
    """Its new name."""
    note: bytes
    """What was noted to be in flight; empty when nothing was noted."""

    @property
    def names(self) -> list[str]:
        """The names of its files: with its log, where it has one."""
        files = (self.kept.with_name(self.kept.name + suffix) for suffix in ("", *LOGS[:2]))
        return [file.name for file in files if file.exists()]

    def put_back(self) -> None:
        """Give it its old name again, in place of the new one: the run was refused before it sent anything.

        Raises:
            RunDirectoryError: the directory cannot be written.
        """
        with _writing(self.directory):
            for suffix in ("", *LOGS):
                (self.directory / (FILE_NAME + suffix)).unlink(missing_ok=True)
            (self.directory / in_flight.FILE_NAME).unlink(missing_ok=True)
            if self.note:
                (self.directory / in_flight.FILE_NAME).write_bytes(self.note)
            _move(self.kept, self.directory / FILE_NAME)


def set_aside(directory: Path) -> SetAside | None:
    """Rename a directory's checkpoint, so that the next run starts without one. Earlier renamed ones stay.

    Returns:
        What takes that back; None when there was no checkpoint.

    Raises:
        RunDirectoryError: the directory cannot be written.
    """
    if not _is_there(directory / FILE_NAME):
        return None
    names = (directory / f"before-restart{number}.{FILE_NAME}" for number in chain([""], map(".{}".format, count(2))))
    kept = next(name for name in names if not _is_there(name))
    note = directory / in_flight.FILE_NAME
    _move_log_into(directory / FILE_NAME)
    with _writing(directory):
        noted = note.read_bytes() if note.exists() else b""
        _move(directory / FILE_NAME, kept)
        note.unlink(missing_ok=True)  # it belongs to that checkpoint
        force_names(directory)  # before a new file has this name
    return SetAside(directory, kept, noted)


def _move_log_into(path: Path) -> None:
    """Move what the log of a sound checkpoint has into the file; of a damaged one it stays, for a salvage."""
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not log.stat().st_size:
        return
    with suppress(RunDirectoryError, sqlite3.Error):  # then the log is renamed too
        examine(path)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        force_names(path.parent)


def _move(old: Path, new: Path) -> None:
    """Rename a checkpoint. After a crash at any moment it has one of the two names, and its log with it."""
    logs = [suffix for suffix in LOGS[:2] if has_content(old.with_name(old.name + suffix))]
    for suffix in logs:
        name_again(old.with_name(old.name + suffix), new.with_name(new.name + suffix))
    if logs:
        force_names(old.parent)
    if old.exists():
        old.replace(new)
    if logs:
        force_names(old.parent)
    for suffix in LOGS:
        old.with_name(old.name + suffix).unlink(missing_ok=True)


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise RunDirectoryError(f"{directory}: cannot be written ({problem.strerror}); make it writable") from problem


def _is_there(path: Path) -> bool:
    """Return whether the name is taken: by a checkpoint, or by a log that SQLite would take for its own."""
    return any(path.with_name(path.name + suffix).exists() for suffix in ("", *LOGS))
