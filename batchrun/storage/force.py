"""Forces files and folders to the disk: what was not forced may be lost, or be there in part, after a power cut."""

import os
from contextlib import suppress
from pathlib import Path


def force(path: Path) -> None:
    """Force a file's content to the disk; of a folder, the names in it.

    Raises:
        OSError: it cannot be done: not every system can force a folder.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def force_names(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can do that."""
    with suppress(OSError):
        force(folder)
