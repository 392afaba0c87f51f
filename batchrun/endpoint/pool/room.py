"""What a lane is given: how it asks whether its model answers, and what it may do, given the state of all lanes."""

from typing import Protocol

from batchrun.records import Request


class Canary(Protocol):
    """Makes the request that finds out whether a model answers."""

    def __call__(self, model: str, *, is_bare: bool) -> Request:
        """Return a canary; a bare one is as small as possible, others carry the parameters of the job."""


class Room(Protocol):
    """What a lane may do."""

    is_heard: bool
    """Whether the endpoint has ever replied, with whatever status."""

    @property
    def slots(self) -> int:
        """How many requests of all models may be in flight now."""

    @property
    def use(self) -> float:
        """The share of these slots that are in use."""

    @property
    def free(self) -> int:
        """How many of these slots are free."""

    def sends_at_once(self, now_s: float) -> bool:
        """Return whether a request would be sent now: there is a slot, and no rate holds it back."""

    @property
    def most_waiting(self) -> int:
        """How many requests may wait to be sent again before no fresh requests are taken."""

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may still be added."""

    def closed(self, model: str) -> None:
        """Note that nothing more is sent to a model."""
