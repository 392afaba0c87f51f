"""Room for answers: a run stops before its disk is full, because an answer that cannot be written is bought again."""

import os
from pathlib import Path

from batchrun.errors import RunDirectoryError

LEAST_BYTES = 8 << 20
"""Below it, nothing more is sent. What is in flight must still fit, for a while twice: in SQLite's log and in its file.
That is a thousand answers of 4 KB."""


def refuse_full(directory: Path) -> None:
    """Refuse a run directory whose disk is nearly full.

    Raises:
        RunDirectoryError: less than `LEAST_BYTES` are free.
    """
    free = _free_bytes(directory)
    if free is not None and free < LEAST_BYTES:
        why = f"less than {LEAST_BYTES >> 20} MiB are free on its disk, too little to keep what would be answered"
        raise RunDirectoryError(f"{directory}: {why}; make room, and run the same command again to resume")


def _free_bytes(directory: Path) -> int | None:
    """Return what is free for this user; None where the file system does not tell."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize if found.f_blocks else None
