"""What an execution has when nothing can refuse it any more: everything that is needed to send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import Budget, Used
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.rules import Listeners
from batchrun.engine.access import Access
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.shared_limit import LimitMemory
from batchrun.job.sections import Job
from batchrun.prompts.source import Source
from batchrun.report.bar import Progress


class Team(Protocol):
    """The workers of a run."""

    def connect(self, say: Callable[[str], None]) -> None:
        """Join their cluster, or start one. May take seconds.

        Args:
            say: prints what is waited for.

        Raises:
            JobError: it cannot be joined.
        """

    def driver(self, prepared: "Prepared", links: Any, listeners: Listeners) -> Driver:
        """Return what stands in the place of a pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that is needed to send."""

    job: Job
    access: Mapping[str, Access]
    """To each endpoint, by name."""
    source: Source
    """Open."""
    store: Store
    """Open, and fitted to the job; not started."""
    fits: bool
    """Whether settled rows are known to fit the input, so that they need not be read."""
    repair: Repair | None
    used_before: Used
    """Money and tokens that earlier executions have used."""
    settled_before: int
    """Rows of the results that earlier executions have settled."""
    budget: Budget | None
    memories: Mapping[str, LimitMemory]
    """What is known of the limit of each endpoint, by name."""
    progress: Progress
    cancels: bool = False
    """Whether batches are cancelled, and nothing more is sent."""
    team: "Team | None" = None
    """The workers that send; None: this process does."""
