"""Records in the run directory what has been published where, so that publishing again resumes and repeats nothing."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from filelock import FileLock, Timeout

from batchrun.errors import RunDirectoryError

FILE_NAME = "published.sqlite"

_WAIT_S = 30.0
"""How long to wait for another process that writes the ledger."""

_RETRY_EVERY_S = 1.0
"""How often to try to take the lock."""


@contextmanager
def alone(directory: Path, system: str, is_over: Callable[[float], bool] = lambda wait_s: True) -> Iterator[None]:
    """Hold a lock on publishing a run to a system: two processes at once would send everything twice.

    Args:
        directory: of the run.
        system: `wandb` or `weave`; each has its own lock.
        is_over: waits that many seconds, and returns whether to stop waiting for the other process.

    Raises:
        RunDirectoryError: another process holds the lock, or the directory cannot be written.
    """
    lock = FileLock(directory / f".published-{system}.lock", timeout=0)
    while not _has(lock):
        if is_over(_RETRY_EVERY_S):
            cure = "publish again when that process has ended; nothing is sent twice"
            raise RunDirectoryError(f"{directory}: another process publishes it to {system}; {cure}")
    try:
        yield
    finally:
        lock.release()


def _has(lock: FileLock) -> bool:
    """Return whether the lock could be taken. The operating system releases it when its process dies."""
    try:
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError) as problem:
        raise RunDirectoryError(
            f"{lock.lock_file}: cannot be created ({problem}); make its folder writable"
        ) from problem
    return True


_TABLES = """
CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Ledger:
    """The record of what one run has published. Every change is on disk before the call returns.

    Raises:
        RunDirectoryError: on entering and by every call, if it cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def __enter__(self) -> Self:
        try:
            self._connection = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
            try:
                self._connection.executescript(_TABLES)
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as problem:
            raise self._broken(problem) from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def unsent(self, ids: Sequence[str]) -> set[str]:
        """Return the ids, of the given ones, that have not been sent."""
        marks = ", ".join("?" * len(ids))
        sent = self._do(f"SELECT id FROM calls WHERE id IN ({marks})", ids)
        return set(ids) - {each for (each,) in sent}

    def add(self, ids: Iterable[str]) -> None:
        """Record that calls have been sent."""
        rows = orjson.dumps(list(ids)).decode()
        self._do("INSERT OR IGNORE INTO calls SELECT value FROM json_each(?)", (rows,))

    def fact(self, name: str) -> Any:
        """Return the value recorded under a name, or None."""
        found = self._do("SELECT value FROM facts WHERE name = ?", (name,))
        return orjson.loads(found[0][0]) if found else None

    def note(self, name: str, value: Any) -> None:
        """Record a JSON value under a name."""
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, orjson.dumps(value).decode()))

    def _do(self, statement: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as problem:
            raise self._broken(problem) from problem

    def _broken(self, problem: sqlite3.Error) -> RunDirectoryError:
        cure = "make it writable, or delete it: then the server is asked what it has"
        return RunDirectoryError(f"{self._path}: cannot record what was published ({problem}); {cure}")
