"""What the first Ctrl-C of a run waits for, and what the second one would lose: this depends on the phase."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchrun.records import Stop
from batchrun.results.executions import ended_text


class Phase(NamedTuple):
    """A phase of an execution, as somebody who interrupts it sees it."""

    waiting: str
    """What the run waits for after the first interruption; `{flight}` is what is in flight, and for how long."""
    loss: str
    """What a second interruption costs, and how to get it back; `{directory}` is the run directory. Empty: nothing."""


PREPARING = Phase("stopping: nothing will be sent; a second Ctrl-C stops at once", "")
SENDING = Phase(
    "stopping: {flight}; a second Ctrl-C stops at once",
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
    """Stops one run from outside, in any phase: an interrupted run never ends as if it was not."""

    def __init__(self) -> None:
        self.phase = PREPARING
        """Set by the execution as it proceeds."""
        self.stop: Stop | None = None
        """The interruption of the execution, if there was one before its end."""
        self.is_requested = False
        """Whether the run was interrupted, also after its execution: then publishing ends."""
        self._drain: Callable[[Stop], None] | None = None
        self._flight: Callable[[], str] = lambda: "waiting for the answers in flight"
        self._say: Callable[[str], None] = lambda message: None

    def interrupt(self, reason: Stop) -> None:
        """Stop the run. Call this on the run's event loop."""
        self.is_requested = True
        if self.phase is ENDED:
            return
        self.stop = self.stop or reason
        waiting = self.phase.waiting.format(flight=self._flight())
        self._say(f"{ended_text(reason.signal)}: {waiting}" if reason.signal else waiting)
        if self.phase is SENDING and self._drain is not None:
            self._drain(reason)

    def drain_by(self, drain: Callable[[Stop], None], flight: Callable[[], str] | None = None) -> None:
        """Call `drain` on an interruption while rows are sent; at once if there was one before.

        Args:
            drain: stops the sending.
            flight: returns what is in flight then, and how long it may take.
        """
        self._drain, self._flight = drain, flight or self._flight
        if self.stop is not None:
            drain(self.stop)

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """Let another execution take over inside of this block: it sets the phase, and prints what is lost."""
        outer, self._drain = self._say, None
        try:
            yield
        finally:
            self._say, self._drain, self.phase = outer, None, WRITING

    @contextmanager
    def reporting_loss(self, directory: Path, say: Callable[[str], None]) -> Iterator[None]:
        """Execute inside of this block; when the execution is cancelled, print what that costs.

        Args:
            directory: of the run.
            say: prints a message.
        """
        self._say = say
        try:
            yield
        except asyncio.CancelledError:
            if self.phase.loss:
                say(self.phase.loss.format(directory=directory))
            raise
        finally:
            self.phase = ENDED
