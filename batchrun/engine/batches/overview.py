"""What is known about a run that is sent in batches: the figures that a `Pool` has too."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from batchrun.checkpoint.batch_tables import CREATED, BatchRow
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.sender import Sender
from batchrun.records import BatchFigures, LaneState, Request, Stop
from batchrun.report.texts import counted
from batchrun.results.batches import batch_figures


class Heard(Protocol):
    """What is known of the provider."""

    is_heard: bool

    @property
    def trouble(self) -> str | None: ...  # noqa: D102

    @property
    def since_s(self) -> float | None: ...  # noqa: D102


class BatchRoute:
    """The endpoint, while it is sent batches."""

    def __init__(self, name: str, limit: Limit, heard: Heard) -> None:
        self.name, self.limit, self._heard = name, limit, heard
        self.in_flight = self.throttled = 0
        self.closed: Mapping[str, Stop] = {}
        """The models that nothing more is sent to."""
        self.lanes: list[LaneState] = []
        self.probe_s = None
        self.models: set[str] = set()
        """That have answered a row."""

    @property
    def answered(self) -> list[str]:
        """The models that have answered a row."""
        return sorted(self.models)

    @property
    def is_heard(self) -> bool:
        """Whether it has ever replied."""
        return self._heard.is_heard

    @property
    def trouble(self) -> str | None:
        """Why nothing works there now."""
        return self._heard.trouble

    @property
    def is_away(self) -> bool:
        """Whether nothing works there now."""
        return self.trouble is not None

    @property
    def since_s(self) -> float | None:
        """Since when nothing works."""
        return self._heard.since_s


class Overview(ABC):
    """The figures of batches; of ordinary requests, once these are sent in their place."""

    def __init__(self, route: BatchRoute, rest: Pool) -> None:
        self._route, self.rest = route, rest
        self.is_resting = False
        """Whether ordinary requests are sent."""
        self.rows: dict[int, BatchRow] = {}
        """The batches that are not collected, by number."""
        self.own_stop: Stop | None = None

    @abstractmethod
    def stop(self, stop: Stop) -> None:
        """Send nothing more; batches go on at the provider. The first reason is kept."""

    @abstractmethod
    async def run(self, batches: AsyncIterator[Sequence[Request]]) -> Stop | None:
        """Have every request answered; return why some stay open."""

    @property
    def batches(self) -> tuple[BatchFigures, ...]:
        """Each batch that is not collected."""
        return tuple(batch_figures(row, is_running=True) for row in self.rows.values())

    @property
    def routes(self) -> tuple[BatchRoute | Sender, ...]:
        """The only endpoint."""
        return self.rest.routes if self.is_resting else (self._route,)

    @property
    def stopping(self) -> Stop | None:
        """Why nothing more is sent."""
        return self.own_stop or self.rest.stopping

    @property
    def in_flight(self) -> int:
        """How many ordinary requests are in flight."""
        return self.rest.in_flight if self.is_resting else 0

    @property
    def waiting(self) -> int:
        """How many ordinary requests wait to be sent again."""
        return self.rest.waiting if self.is_resting else 0

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return self.rest.throttled if self.is_resting else 0

    @property
    def closed(self) -> Mapping[str, Stop]:
        """The models that nothing more is sent to."""
        return self.rest.closed if self.is_resting else self._route.closed

    @property
    def is_heard(self) -> bool:
        """Whether the endpoint has ever replied."""
        return self._route.is_heard or (self.is_resting and self.rest.is_heard)

    @property
    def has_more(self) -> bool:
        """Whether ordinary requests wait for a slot."""
        return self.is_resting and self.rest.has_more

    @property
    def is_late(self) -> bool:
        """Whether all that is left takes longer than usual."""
        return self.is_resting and self.rest.is_late

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent."""
        return self.rest.trouble if self.is_resting else self._route.trouble

    @property
    def is_away(self) -> bool:
        """Whether nothing works at the endpoint. While batches are waited for, rows are settled in leaps."""
        return self.rest.is_away if self.is_resting else True

    @property
    def away_s(self) -> float | None:
        """For how long the endpoint has been away; None when it is not."""
        return self.rest.away_s if self.is_resting else None

    @property
    def probe_in_s(self) -> float | None:
        """In how many seconds it is asked whether it answers again; None when it is not away."""
        return self.rest.probe_in_s if self.is_resting else None

    @property
    def drained(self) -> tuple[int, int] | None:
        """How many requests were in flight when it was stopped, and how many of these have no outcome.

        None where batches were sent: the reason of the stop has them.
        """
        return self.rest.drained if self.is_resting else None

    def drain_s(self, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long a run that is stopped now waits at most."""
        return self.rest.drain_s(timeout_s, is_stream=is_stream) if self.is_resting else 0.0

    def look(self) -> None:
        """Report pauses that last."""
        if self.is_resting:
            self.rest.look()

    def wake(self) -> None:
        """Look again for something to send."""
        if self.is_resting:
            self.rest.wake()

    @property
    def left_text(self) -> str:
        """What goes on at the provider when this process ends; empty where nothing does."""
        rows = [row for row in self.rows.values() if row.step == CREATED]
        if not rows:
            return ""
        requests = sum(row.requests for row in rows)
        goes, them = ("goes", "it") if len(rows) == 1 else ("go", "them")
        return (
            f"{counted(len(rows), 'batch', 'batches')} with {counted(requests, 'request')} {goes} on at the provider; "
            f"the same command collects the answers, --cancel cancels {them}"
        )
