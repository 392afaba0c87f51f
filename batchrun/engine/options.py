"""How a job is run, apart from what the job itself says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.engine.interruption import Interruption
from batchrun.report.bar import Progress, Silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a job, apart from what the job itself says."""

    restart: bool = False
    """Start over; the old checkpoint is kept under another name."""
    retry_failed: bool = False
    """Send failed rows again."""
    agree: Callable[[str], bool] = field(default=lambda question: False)  # the name is for callers
    """Asked before answers are bought again because the job was edited, and before a job above a cap starts."""
    simulate: bool = False
    """Run against the embedded simulator."""
    progress: Progress = field(default_factory=Silence)
    """Shows the progress of the run."""
    stdin: BinaryIO | None = None
    """Read for the path `-`; by default, standard input."""
    scorer: NamedFunction | None = None
    """Scores the answers instead of the job's own scorer."""
    interruption: Interruption = field(default_factory=Interruption)
    """Stops the run from outside; one for each run."""
    on_start: Callable[[], None] = field(default=lambda: None)
    """Called on the run's event loop when sending begins."""
