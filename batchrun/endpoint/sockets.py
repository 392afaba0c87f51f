"""How many connections this process may have open at once; the system's limit is raised as far as it may be."""

import contextlib

from batchrun.errors import RunDirectoryError

try:
    import resource
except ImportError:  # Windows, where no such limit gets in the way
    resource = None  # type: ignore[assignment]

SPARE = 40
"""Files that a run has open beside its connections, at most: 22 at its busiest, and some for what it is embedded in."""


def room_for(connections: int) -> int:
    """Return how many of so many connections may be open at once; raise this process's limit if need be.

    Raises:
        RunDirectoryError: there is not even room for the run's own files.
    """
    if resource is None:
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE
    if not _allows(soft, needed):
        wanted = needed if _allows(hard, needed) else hard
        with contextlib.suppress(OSError, ValueError):  # a system may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if _allows(soft, needed):
        return connections
    if soft <= SPARE:
        too_few = f"only {soft} files may be open at once, and a run needs more than {SPARE}"
        raise RunDirectoryError(f"{too_few}; allow it more: ulimit -n {needed}")
    return soft - SPARE


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
