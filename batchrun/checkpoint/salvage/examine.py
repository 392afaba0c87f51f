"""Finds damage of a checkpoint: a quick look before each run, a thorough one before a salvage.

It never writes: a connection that is open for writing would move the log into the file when it closes.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from batchrun.checkpoint.checks import is_answer
from batchrun.checkpoint.file import connect, damaged, refuse_lost_file, translated
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError

CHECKED_BYTES = 256 << 20
"""How large a file may be that is checked whole whenever a run begins: 0.3 s at this size."""

CHECKED_LOG_BYTES = 64 << 20
"""The same of its log: 1 s at this size, four times what a run lets it grow to."""

LAST_SECONDS_COMMITS = 100
"""Twice what a run writes between two that are forced to the disk: a power cut may break as many, and no more."""


def examine(path: Path) -> None:
    """Refuse a checkpoint that is visibly damaged, before anything relies on what is missing from it.

    A small file is checked as far as SQLite can, and its rows are compared with the totals. That takes as long as
    reading the file. A large one is taken as it is, so that a run of ten million rows begins as soon as one of ten:
    what is wrong with it shows when it is read, at the latest in `export`, which counts its rows.

    Raises:
        RunDirectoryError: it is damaged, is not a checkpoint, or has a newer version.
    """
    refuse_lost_file(path)
    if not path.exists() or path.stat().st_size == 0:
        return
    if (hidden := _hidden_commits(path)) > LAST_SECONDS_COMMITS:
        raise damaged(path, f"its log is broken, and {hidden:,} sound commits follow")
    journal = path.with_name(path.name + "-journal")  # without write-ahead log, a killed run has to be undone first
    with translated(path), closing(connect(path, read_only=not journal.exists())) as connection:
        if path.stat().st_size > CHECKED_BYTES:
            return
        _check_pages(connection, path)
        connection.execute("BEGIN")
        (settled,) = connection.execute("SELECT count(*) FROM outcomes").fetchone()
        (counted,) = connection.execute("SELECT coalesce(sum(completed + failed), 0) FROM totals").fetchone()
        if settled != counted:
            raise damaged(path, f"it has {settled:,} settled rows instead of {counted:,}")


def problem_of(directory: Path) -> DamagedError | None:
    """Return what is wrong with a checkpoint; None when all of it is sound. Reads all of it.

    Raises:
        RunDirectoryError: it belongs to another program, or has a newer version.
    """
    path = directory / FILE_NAME
    try:
        examine(path)
        if _hidden_commits(path):
            return damaged(path, "its log is broken, and sound commits follow")
        with closing(connect(path, read_only=True)) as connection, translated(path):
            _check_pages(connection, path)
        with Checkpoint(directory) as checkpoint:
            checkpoint.check_facts()
            checkpoint.totals()
            for each in (outcome for some in checkpoint.outcomes() for outcome in some):
                if each.kind is None and not is_answer(each.body):
                    return damaged(path, f"the answer of row {each.row} is not JSON")
    except DamagedError as problem:
        return problem
    return None


def _hidden_commits(path: Path) -> int:
    """Return how many sound commits are in the log that SQLite cannot see, because one before them is broken."""
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not 0 < log.stat().st_size <= CHECKED_LOG_BYTES:
        return 0
    with DamagedFile(path, log) as file:
        return file.hidden_commits


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Let SQLite check every page.

    Raises:
        RunDirectoryError: one is damaged.
    """
    with translated(path):
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise damaged(path, " ".join(str(found).removeprefix("*** in database main ***").split()))
