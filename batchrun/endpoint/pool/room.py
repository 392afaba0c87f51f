"""What a lane is given: how it asks whether its model answers, what it may do, and its siblings at other endpoints."""

from typing import Protocol

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.budget import Budget
from batchrun.records import Request


class Canary(Protocol):
    """Makes the request that finds out whether a model answers."""

    def __call__(self, model: str, *, is_bare: bool) -> Request:
        """Return a canary; a bare one is as small as possible, others carry the parameters of the job."""


class Neighbour(Protocol):
    """What one endpoint knows of what another one may do."""

    is_heard: bool
    """Whether the endpoint has ever replied, with whatever status."""

    @property
    def use(self) -> float:
        """The share of its slots that are in use."""

    @property
    def free(self) -> int:
        """How many of these slots are free."""

    @property
    def is_spent(self) -> bool:
        """Whether the budget allows no request there, and a cheaper endpoint that is away is waited for."""

    def sends_at_once(self, now_s: float) -> bool:
        """Return whether a request would be sent now: there is a slot, and no rate holds it back."""


class Room(Neighbour, Protocol):
    """What a lane may do."""

    budget: Budget | None
    """The caps, with the prices of the endpoint; None without caps."""

    @property
    def slots(self) -> int:
        """How many requests of all models may be in flight now."""

    @property
    def most_waiting(self) -> int:
        """How many requests may wait to be sent again before no fresh requests are taken."""

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may still be added."""

    def closed(self, model: str) -> None:
        """Note that nothing more is sent to a model."""


class Sibling(Protocol):
    """The same model at another endpoint."""

    @property
    def is_open(self) -> bool:
        """Whether rows are sent there: it is neither closed nor paused, and the caps leave room."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent there."""

    @property
    def answers(self) -> int:
        """How many requests were answered there."""

    @property
    def usual_s(self) -> float:
        """The mean time of an answer."""

    @property
    def due_s(self) -> float | None:
        """When the first request that waits to be sent again is due there."""

    @property
    def room(self) -> Neighbour:
        """What it may do."""

    def put(self, work: Work, due_s: float) -> None:
        """Have a request sent there, at `due_s` at the earliest."""
