"""What the first Ctrl-C of a run waits for, and what the second one would lose: this depends on the phase."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchrun.records import Stop


class Phase(NamedTuple):
    """A phase of an execution, as somebody who interrupts it sees it."""

    waiting: str
    """What the run waits for after the first interruption."""
    loss: str
    """What a second interruption costs, and how to get it back; `{directory}` is the run directory."""


SENDING = Phase(
    "stopping: waiting for the answers in flight; a second Ctrl-C stops at once",
    "the answers in flight are lost",
)
WRITING = Phase(
    "stopping: the results are being written; a second Ctrl-C stops at once",
    "the results were not written, all answers are in the checkpoint; write them: batchrun export {directory}",
)
UPLOADING = Phase(
    "stopping: the results are being uploaded; a second Ctrl-C stops at once",
    "the upload was not completed; upload again: batchrun export {directory}",
)
ENDED = Phase("", "")


class Interruption:
    """Receives the interruption of an execution, in any phase: an interrupted run never ends as if it was not."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Start before anything is sent.

        Args:
            say: prints a message.
        """
        self._say = say
        self.phase = SENDING
        """Set by the execution as it proceeds."""
        self.stop: Stop | None = None
        """The interruption, if there was one."""

    @contextmanager
    def reporting_loss(self, directory: Path) -> Iterator[None]:
        """Execute inside of this block; when the execution is cancelled, print what that costs."""
        try:
            yield
        except asyncio.CancelledError:
            self._say(self.phase.loss.format(directory=directory))
            raise
        finally:
            self.phase = ENDED

    def stopping(self, drain: Callable[[Stop], None]) -> Callable[[Stop], None]:
        """Return the function to call on an interruption; it drains the pool, as long as rows are sent."""

        def stop(reason: Stop) -> None:
            if self.phase is ENDED:
                return
            self.stop = self.stop or reason
            self._say(self.phase.waiting)
            if self.phase is SENDING:
                drain(reason)

        return stop
