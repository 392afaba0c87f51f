"""A thread that forces committed data to the disk once a second, so that no commit waits for the disk."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from batchrun.checkpoint.in_flight import Journal

FORCE_EVERY_S = 1.0
"""How often; a power cut loses as much."""


class Forcing:
    """Forces a checkpoint's log, and the note of what is in flight, to the disk."""

    def __init__(self, log: Path | None, journal: Journal, on_broken: Callable[[OSError], None]) -> None:
        """Prepare; `start` begins.

        Args:
            log: the write-ahead log; None if there is none: then each commit is on the disk when it returns.
            journal: the note.
            on_broken: called from the thread when the disk fails; nothing is forced after that.
        """
        self._log, self._journal, self._on_broken = log, journal, on_broken
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_forcing, name="batchrun-force", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread, and wait until it has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def force(self) -> None:
        """Force now; raises `OSError`."""
        self._journal.force()
        if self._log is not None and self._log.exists():
            handle = os.open(self._log, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _keep_forcing(self) -> None:
        while not self._ended.wait(FORCE_EVERY_S):
            try:
                self.force()
            except OSError as problem:
                self._on_broken(problem)
                return
