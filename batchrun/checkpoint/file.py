"""The checkpoint as a file: opened, created, migrated. SQLite's errors become batchrun's here."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from batchrun.checkpoint import migrations, row_checksums
from batchrun.checkpoint.tables import APPLICATION_ID, LOGS, MOST_VERSIONS, TABLES, VERSION
from batchrun.errors import DamagedError, RunDirectoryError
from batchrun.storage.lost import lost_text, no_run

_NOT_THE_FILES_FAULT = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_ABORT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISUSE,
}
"""SQLite's codes for causes outside of the file. All other codes mean that its content is wrong."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into batchrun's, which say what to do."""
    try:
        yield
    except UnicodeDecodeError as problem:  # from SQLite's own message, which quotes the file
        raise damaged(path, "its tables cannot be read") from problem
    except sqlite3.Error as problem:
        raise broken(path, problem) from problem


def broken(path: Path, problem: Exception) -> RunDirectoryError:
    """Return the error for a checkpoint that cannot be read or written."""
    if isinstance(problem, sqlite3.Error) and _primary_code(problem) not in _NOT_THE_FILES_FAULT:
        return damaged(path, str(problem))
    cure = "make room, or make it writable, and run the same command again to resume"
    return RunDirectoryError(f"{path}: cannot be read or written ({problem}); {cure}")


def damaged(path: Path, problem: str) -> DamagedError:
    """Return the error for a file whose content is wrong."""
    cure = f"Use another -o DIR, or recover what is readable: batchrun export {path.parent} --salvage"
    return DamagedError(f"{path}: is damaged or not a checkpoint ({problem}); it was not changed. {cure}")


def newer(path: Path, problem: str) -> RunDirectoryError:
    """Return the error for a checkpoint that only a newer version can read."""
    return RunDirectoryError(
        f"{path}: was written by a newer batchrun ({problem}); upgrade it: run pip install . in a newer checkout"
    )


def _primary_code(problem: sqlite3.Error) -> int | None:
    """Return SQLite's own code; None for what only Python could not read, such as text that is not UTF-8."""
    code = getattr(problem, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


PAGE_BYTES = 4096
"""Size of a page. SQLite's own choice."""

VECTOR_PAGE_BYTES = 32_768
"""The same where answers are vectors. A page of 4 KiB holds one vector of 384 numbers, or a part of one of 1,024: with
larger pages writing a row takes half as long. Measured: 17 → 7 us, and 26 → 15 us."""

_CHANGED_NAMES = """
SELECT id, name FROM models NOT INDEXED EXCEPT SELECT id, name FROM models INDEXED BY sqlite_autoindex_models_1
"""
"""The names of models are stored twice, in the table and in its index: where one changed on the disk, they differ."""

_LOG_BYTES = 16 << 20
"""Size of the write-ahead log at which SQLite moves what is in it to the file."""


def connect(path: Path, *, read_only: bool = False, page_bytes: int = PAGE_BYTES) -> sqlite3.Connection:
    """Open a checkpoint in autocommit mode; create the tables of a new file, migrate those of an older one.

    Args:
        path: the file.
        read_only: whether nothing is to be written.
        page_bytes: of a new file.

    Raises:
        RunDirectoryError: it cannot be opened, is not a checkpoint, or has a newer version.
    """
    refuse_lost_file(path)
    if read_only and not path.exists():
        raise no_run(path.parent)
    with translated(path):
        mode = _reading_mode(path) if read_only else "rwc"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
        try:
            connection.execute("PRAGMA cell_size_check = ON")  # a damaged page is reported at once
            return _ready(connection, path, read_only, page_bytes)
        except BaseException:
            connection.close()
            raise


def _reading_mode(path: Path) -> str:
    """Return how SQLite opens a checkpoint to read it, so that no log is left that was not there before.

    A connection that may write removes its log when it closes as the last one; it changes nothing else where the log
    is empty. A read-only one leaves an empty log, and cannot be opened at all where it cannot make one.
    """
    if any(log.exists() and log.stat().st_size for log in (path.with_name(path.name + name) for name in LOGS[:2])):
        return "ro"  # what is in the log stays there: it is for the next run, or for a salvage
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "rw"
    return "ro" if path.with_name(path.name + "-shm").exists() else "ro&immutable=1"


def is_older(path: Path) -> bool:
    """Return whether a checkpoint has an older version: only a run brings it up to date."""
    with translated(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version < VERSION)


def create(connection: sqlite3.Connection, page_bytes: int = PAGE_BYTES) -> None:
    """Make the tables of a new checkpoint."""
    connection.execute(f"PRAGMA page_size = {page_bytes}")
    connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")


def set_mode(connection: sqlite3.Connection) -> bool:
    """Set how SQLite writes; return whether there is a write-ahead log."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    is_wal: bool = mode == "wal"
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_wal else 'FULL'}")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // page_bytes}")
    return is_wal


def refuse_lost_file(path: Path) -> None:
    """Refuse a folder, and a log whose checkpoint is gone: SQLite would delete the log and its content."""
    if path.is_dir():
        raise RunDirectoryError(f"{path}: cannot be read or written (it is a folder); use another -o DIR")
    log = path.with_name(path.name + "-wal")
    is_empty = not path.exists() or path.stat().st_size == 0
    if is_empty and log.exists() and log.stat().st_size > 0:
        raise damaged(path, f"it is empty or gone, and its log {log.name} is not")


def _ready(connection: sqlite3.Connection, path: Path, read_only: bool, page_bytes: int) -> sqlite3.Connection:
    """Return the connection with the tables of this version; of an older file that is only read, a copy with them."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        if read_only:
            empty = f"{path}: is empty: its run died as it began, or the disk has lost it; run the job again"
            raise RunDirectoryError(lost_text(path.parent) or empty)
        create(connection, page_bytes)
        row_checksums.keep(connection)
        return connection
    _refuse_other_formats(connection, path, application, version)
    if connection.execute(_CHANGED_NAMES).fetchone() is not None:
        raise damaged(path, "the name of a model changed on the disk")
    if changed := row_checksums.changed_rows(connection):
        raise damaged(path, f"{row_checksums.names_of(changed)} changed on the disk: the checksum is wrong")
    if not read_only:
        if version < VERSION:
            migrations.migrate(connection, migrations.MIGRATIONS)
        row_checksums.keep(connection)
        return connection
    if version == VERSION or migrations.pretend(connection, version, migrations.MIGRATIONS):
        return connection
    return _migrated_copy(connection)


def _refuse_other_formats(connection: sqlite3.Connection, path: Path, application: int, version: int) -> None:
    if application != APPLICATION_ID:
        (ours,) = connection.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('outcomes', 'facts')"
        ).fetchone()
        if ours == 2:
            raise damaged(path, "its tables are those of a checkpoint, but its header is not")
        raise RunDirectoryError(f"{path}: is not a checkpoint of batchrun; it was not changed. Use another -o DIR")
    if not migrations.FIRST <= version <= MOST_VERSIONS:
        raise damaged(path, f"its version is {version}, which does not exist")
    if version > VERSION:
        raise newer(path, f"version {version} of the file; this one reads versions up to {VERSION}")


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a migrated copy, since reading changes no file. SQLite keeps it on disk, and deletes it."""
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        connection.backup(copy)
        connection.close()
        migrations.migrate(copy, migrations.MIGRATIONS)
    except BaseException:
        copy.close()
        raise
    return copy
