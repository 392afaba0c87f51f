"""Shares an endpoint's limit between a user's runs on one machine: what was learned, and who uses it now.

Theory of operation. The limit belongs to the project, not to a run. Two runs that both hold and probe do not share it:
the first keeps every slot, and takes back each free one within a millisecond. So each run writes once a second how many
requests it has in flight, and whether it could use more. The sum over all runs is the best known value of what the
endpoint holds. A run that has more than its fair share, while another wants more, caps itself a little above that
share, and the other finds the free slots by itself. A little above, so that together they still notice when the limit
rises. A note that is a few seconds old, or whose process on this machine has ended, belongs to a run that has ended.

All of this is advice, kept in the platform's cache folder. Without it each run learns the limit by itself.
"""

import hashlib
import os
import platform
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from batchrun.job.sections import Job
from batchrun.storage.processes import is_alive

FRESH_S = 5.0
"""How old a run's note may be; runs write one a second."""

_SLACK = 1.1
"""How far above its fair share a run may go: room to notice that the limit has risen."""

_FADING = 0.97
"""What is left of an observed total after a second: half of it after 23 s, longer than most answers take."""

_BUSY_S = 0.5
"""Longest wait while another run writes its note."""

_TABLES = """
CREATE TABLE IF NOT EXISTS learned (endpoint TEXT PRIMARY KEY, requests INTEGER NOT NULL, at_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    in_flight INTEGER NOT NULL,
    wants_more INTEGER NOT NULL,
    at_s REAL NOT NULL
);
"""


class Share(NamedTuple):
    """What one run has of the limit."""

    in_flight: int
    wants_more: bool
    """Whether it has more to send, and is allowed to."""


def fair_cap(total: float, others: Sequence[Share]) -> int | None:
    """Return how many requests a run may have in flight next to other runs; None when nothing bounds it.

    Args:
        total: requests of all runs together that the endpoint is known to hold.
        others: the other runs. Those that do not want more keep what they have; the rest is shared equally.
    """
    if not any(other.wants_more for other in others):
        return None
    content = sum(other.in_flight for other in others if not other.wants_more)
    wanting = 1 + sum(other.wants_more for other in others)
    return int((total - content) / wanting * _SLACK) + 1


def notes_folder() -> Path:
    """Return the platform's cache folder of batchrun, where the notes are kept."""
    return user_cache_path("batchrun")


class LimitMemory:
    """One run's view of the shared notes. It knows nothing once it is closed, or when the folder cannot be used."""

    def __init__(self, base_url: str, project: str | None, models: Iterable[str], folder: Path | None = None) -> None:
        """Open the memory.

        Args:
            base_url: of the endpoint.
            project: whose limit it is.
            models: that are asked.
            folder: where it is kept; the platform's cache folder unless given.
        """
        self._project = _hashed(base_url, project or "")
        self._endpoint = _hashed(base_url, project or "", *sorted(models))
        self._run = f"{os.getpid()}-{time.time_ns()}-{platform.node()}"
        self._total = 0.0  # in flight of all runs; fades slowly, because slots that change hands are empty for a while
        self._lock = threading.Lock()  # used from a worker thread, closed from the loop's
        self._connection: sqlite3.Connection | None = None
        try:
            folder = folder or notes_folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                folder / "limits.sqlite", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA synchronous = OFF")  # advice: not worth waiting for a disk
            self._connection.executescript(_TABLES)
        except (OSError, sqlite3.Error):
            self.close()

    def learned(self) -> int | None:
        """Return the limit that the last run held, or None."""
        rows = self._ask("SELECT requests FROM learned WHERE endpoint = ?", (self._endpoint,))
        return int(rows[0][0]) if rows else None

    def learn(self, requests: int) -> None:
        """Remember a limit for the next run."""
        self._ask("INSERT OR REPLACE INTO learned VALUES (?, ?, ?)", (self._endpoint, requests, time.time()))

    def others(self) -> list[Share]:
        """Return what the other runs of the project use of the limit now."""
        query = "SELECT id, in_flight, wants_more FROM runs WHERE project = ? AND id != ? AND at_s > ?"
        rows = self._ask(query, (self._project, self._run, time.time() - FRESH_S))
        return [Share(in_flight, bool(wants_more)) for run, in_flight, wants_more in rows if not _has_died(run)]

    def share(self, own: Share) -> int | None:
        """Write what this run uses; return how many requests it may have in flight, or None when nothing bounds it."""
        note = (self._run, self._project, own.in_flight, own.wants_more, time.time())
        self._ask("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", note)
        others = self.others()
        self._total = max(own.in_flight + sum(other.in_flight for other in others), _FADING * self._total)
        return fair_cap(self._total, others)

    def close(self) -> None:
        """Delete this run's note."""
        self._ask("DELETE FROM runs WHERE id = ? OR at_s < ?", (self._run, time.time() - FRESH_S))
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _ask(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Run a statement. After an error the run goes without advice."""
        with self._lock:
            if self._connection is None:
                return []
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error:
                return []


def learned_limits(memories: Mapping[str, LimitMemory]) -> dict[str, int] | None:
    """Return how many requests each of several endpoints takes, by its name; None unless it was learned of each."""
    learned = {name: memory.learned() for name, memory in memories.items()}
    known = {name: limit for name, limit in learned.items() if limit}
    return known if len(known) == len(learned) else None


def memory_of(job: Job, name: str, base_url: str, project: str | None) -> LimitMemory:
    """Open the memory of one endpoint of a job: of the models that are asked there.

    Args:
        job: that is run.
        name: of the endpoint.
        base_url: of the endpoint, or of the simulator in its place.
        project: whose limit it is.
    """
    return LimitMemory(base_url, project, [model for model in job.models if name in job.serving(model)])


def _has_died(run: str) -> bool:
    """Return whether the process of a run is known to have ended. The folder may be shared with other machines."""
    pid, _, machine = (*run.split("-", 2), "")[:3]
    return machine == platform.node() and pid.isdecimal() and not is_alive(int(pid))


def _hashed(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
