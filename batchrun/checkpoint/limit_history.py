"""The history of the limits on requests in flight: of each endpoint where there are several, and of all together."""

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from batchrun.checkpoint.queue import WriteQueue

_NOTE = "INSERT INTO limits VALUES (?, ?, ?)"
_NOTE_ENDPOINT = "INSERT INTO endpoint_limits VALUES (?, ?, ?, ?)"
_LAST = (
    "SELECT endpoint, requests FROM endpoint_limits WHERE rowid IN (SELECT max(rowid) FROM endpoint_limits "
    "GROUP BY endpoint)"
)
_READ = "SELECT endpoint, at_ms, requests FROM endpoint_limits ORDER BY at_ms, rowid"


class EndpointLimit(NamedTuple):
    """The limit of one endpoint of several, from one moment on."""

    endpoint: str
    """Its name."""
    at_ms: int
    """Unix time."""
    requests: int


class LimitHistory:
    """Writes the limits of one execution, through the writer's thread."""

    def __init__(self, queue: WriteQueue) -> None:
        self._queue = queue
        self._current: dict[str, int] = {}

    def note(self, at_ms: int, limit: int, reason: str, endpoint: str = "") -> None:
        """Note a change.

        Args:
            at_ms: Unix time.
            limit: most requests in flight from now on; 0 where nothing more is sent to the endpoint.
            reason: why, in a word.
            endpoint: its name; empty where the job has one.
        """
        self._current[endpoint] = limit
        self._queue.run(_NOTE, at_ms, sum(self._current.values()), reason)
        if endpoint:
            self._queue.run(_NOTE_ENDPOINT, endpoint, at_ms, limit, reason)


def read_endpoint_limits(connection: sqlite3.Connection) -> Iterator[EndpointLimit]:
    """Yield the limits of each endpoint of several, in the order of time; none where there is one."""
    return map(EndpointLimit._make, connection.execute(_READ))


def last_limits(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the limit of each endpoint of several as it was noted last; none where there is one."""
    return dict(connection.execute(_LAST))
