"""How many connections this process may have open at once. Raises the system's limit as far as it allows."""

import contextlib
import resource

from batchrun.errors import RunDirectoryError

SPARE = 40
"""Files that a run has open besides its connections: 22 at its busiest, and some for the program that embeds it."""


def room_for(connections: int) -> int:
    """Return how many of these connections may be open at once; raise this process's limit if necessary.

    Raises:
        RunDirectoryError: not even the run's own files may be open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE
    if not _allows(soft, needed):
        wanted = needed if _allows(hard, needed) else hard
        with contextlib.suppress(OSError, ValueError):  # a system may allow less than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if _allows(soft, needed):
        return connections
    if soft <= SPARE:
        too_few = f"only {soft} files may be open at once; a run needs more than {SPARE}"
        raise RunDirectoryError(f"{too_few}; raise the limit: ulimit -n {needed}")
    return soft - SPARE


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
