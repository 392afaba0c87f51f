"""What an execution that ends before it sends leaves in its run directory: nothing that was not there before."""

from contextlib import suppress
from pathlib import Path

from batchrun.checkpoint.tables import LOGS
from batchrun.results.run_directory import CHECKPOINT, IN_FLIGHT, SPOOL

_NAMES = (*(CHECKPOINT + log for log in LOGS), CHECKPOINT, IN_FLIGHT, SPOOL)
"""What is written before anything is sent; the logs go first, since a log without its checkpoint counts as damage."""


class NewFiles:
    """The files of a run directory that are not there yet, and the folders on the way to them."""

    def __init__(self, directory: Path) -> None:
        """Look which these are; call it before anything is written."""
        paths = (directory / name for name in _NAMES)
        self._files = [path for path in paths if not path.exists()]
        self._folders = [path for path in (directory, *directory.parents) if not path.exists()]

    def remove(self) -> None:
        """Remove the files; the caller holds the directory's lock."""
        for path in self._files:
            with suppress(OSError):  # what cannot be removed stays: the next run takes it over
                path.unlink(missing_ok=True)

    def remove_folders(self) -> None:
        """Remove the folders that are empty; without the lock, whose file is in one of them."""
        for path in self._folders:
            with suppress(OSError):  # another run has begun in it
                path.rmdir()
