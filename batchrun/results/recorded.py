"""What the summary of a run is made from, apart from its totals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchrun.checkpoint.history import ExecutionTimes
from batchrun.checkpoint.reader import Failures
from batchrun.endpoint.pool.budget import Amount
from batchrun.records import BatchFigures, EndpointFigures, RowCount, WorkerFigures
from batchrun.results.meanings import NO_MEANINGS, Meanings
from batchrun.results.prices import NOTHING_PAID, Paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What only the last execution itself can report; the fields are those of `Summary`."""

    state: str
    exit_code: int | None = None
    message: str = ""
    duration_s: float | None = None
    pid: int | None = None
    newly_settled: int | None = None


class Recorded(NamedTuple):
    """What the checkpoint has noted about the whole run, apart from its rows."""

    executions: Sequence[ExecutionTimes] = ()
    total: RowCount | None = None
    """All rows of the results."""
    unrecorded: int = 0
    """Requests that were in flight when a process died, over all executions."""
    copies: int = 0
    """Rows of the results that were copied."""
    rate_per_s: float | None = None
    """Rows settled per second in recent minutes; None in a pause, and while it is not known or the run does not run."""
    probe_at_ms: int | None = None
    """When a paused endpoint is asked next; Unix time."""
    stopping: str | None = None
    """Why a run that runs sends nothing more."""
    drained_by_ms: int | None = None
    """Until when it waits at most for what is in flight; Unix time."""
    unwanted: int = 0
    """Rows that a run that runs leaves open, because nothing more is sent to their model."""
    endpoints: tuple[EndpointFigures, ...] = ()
    """Each endpoint of several, while the run runs."""
    workers: tuple[WorkerFigures, ...] = ()
    """Each worker of a cluster; those of the last execution where none is under way."""
    batches: tuple[BatchFigures, ...] = ()
    """Each batch of the run, the collected ones too."""
    batches_held: Amount = Amount()
    """What is set aside for those that are not collected."""
    workers_lost: int = 0
    """Workers that have died, over all executions."""
    put_back: int = 0
    """Rows that these had."""
    was_salvaged: bool = False
    """Whether no run has gone on since a salvage."""
    limits: Mapping[str, int] = {}
    """The last limit of each endpoint of several, by its name."""
    paid: Paid = NOTHING_PAID
    """The prices of what was answered before the job was as it is now."""
    meanings: Meanings = NO_MEANINGS
    """What the names of endpoints stand for."""
    set_aside: Amount = Amount()
    """The most that these have cost, together with answers that stated no tokens."""


NOTHING_RECORDED = Recorded()


class Findings(NamedTuple):
    """What the rows of the results showed; the fields are those of `Summary`."""

    failures: Sequence[Failures] = ()
    scores: Sequence[dict[str, Any]] = ()
    answers: Sequence[dict[str, Any]] = ()
    agreement: dict[str, Any] | None = None
    judge: dict[str, Any] | None = None

    @property
    def entries(self) -> dict[str, Any]:
        """The fields of `Summary`, as JSON can hold them."""
        lists = {"scores": list(self.scores), "answers": list(self.answers)}
        failures = [each._asdict() for each in self.failures]
        return {"failures": failures, **lists, "agreement": self.agreement, "judge": self.judge}


NO_FINDINGS = Findings()
