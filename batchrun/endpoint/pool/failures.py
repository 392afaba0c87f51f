"""What a failed attempt was, and what its row may have to pay for it. Pure."""

from typing import NamedTuple


class Failure(NamedTuple):
    """A failed attempt, by the row's fault or by the endpoint's."""

    kind: str
    message: str
    cost: int
    """What the row pays if the fault is its own."""
    sent_s: float
    failed_s: float
    in_flight: int
    """How many requests of the model are left in flight."""
    was_probe: bool


class Suspicion(NamedTuple):
    """What a row may have to pay."""

    cost: int
    last_s: float
    """When it last failed."""
    first_sent_s: float
    """When the first of its failed attempts was sent."""
