"""A model at the endpoints of other machines, as far as it is known here: one of the siblings of a lane. Pure."""

from math import inf
from typing import NamedTuple

from batchrun.endpoint.pool.backlog import Work


class Danger(NamedTuple):
    """What is known about a row that may take servers down; see `apart`."""

    beginnings: int
    trials: int
    survived_s: float
    is_shared: bool


class Left(NamedTuple):
    """A row that is handed back."""

    row: int
    model: str
    sample: int
    danger: Danger | None
    """None where it is a row like any other."""


class Abroad(NamedTuple):
    """A model on other machines."""

    is_open: bool
    """Whether it is answered there."""
    is_closed: bool
    """Whether nothing more is sent to it there."""
    is_heard: bool
    """Whether an endpoint there has ever replied."""


class Elsewhere:
    """One model at the endpoints of other machines. Nobody is there at first."""

    answers = 0
    usual_s = inf  # nothing is known about how long answers take there
    use, free, due_s = 1.0, 0, None  # nor about slots, and what waits for them
    is_spent = False  # nor about money

    def __init__(self) -> None:
        self.is_open = False
        """Whether it is answered on another machine."""
        self.is_closed = True
        """Whether nothing more is sent to it on any other machine."""
        self.is_heard = False
        """Whether an endpoint of another machine has ever replied."""
        self.left: list[Work] = []
        """Rows that are left to other machines and were not handed back yet."""

    @property
    def room(self) -> "Elsewhere":
        """What may be done there, as far as it matters here."""
        return self

    def sends_at_once(self, now_s: float) -> bool:
        """Return whether a request would be sent now: nobody knows."""
        return False

    def put(self, work: Work, due_s: float) -> None:
        """Leave a row to the other machines."""
        self.left.append(work)
