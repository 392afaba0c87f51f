"""The runs below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from batchrun.results.run_directory import CHECKPOINT


def is_run(directory: Path) -> bool:
    """Return whether a directory is that of a run."""
    return any((directory / f"{CHECKPOINT}{suffix}").exists() for suffix in ("", "-wal"))  # a log alone is damage


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the run directories in a folder and its folders. Hidden folders and links are not looked into."""
    for place, folders, files in os.walk(folder):
        if CHECKPOINT in files:
            folders.clear()
            yield Path(place)
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
