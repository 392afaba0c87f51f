"""One worker as the driver knows it: how it is reached, and what its last word was."""

from collections.abc import Mapping
from typing import Protocol

from batchrun.checkpoint.packing import Dictionary
from batchrun.engine.cluster.keeper import Keeper
from batchrun.engine.cluster.messages import Orders, Word
from batchrun.engine.cluster.routes import SharedRoute
from batchrun.engine.cluster.till import Till


class WorkerDied(Exception):
    """A worker is known to be dead: what it had is lost. Its text is why, for people; empty where that is not known."""


class WorkerUnavailable(Exception):
    """A call has failed, and the worker may be alive: the call can be repeated."""


class Handle(Protocol):
    """One worker, as the driver reaches it."""

    node: str
    """Name of the machine that it is on; empty until that is known."""
    address: str
    """Address of that machine; empty until it is known."""

    async def open(self) -> str:
        """Wait until the worker has started; return its incarnation."""

    async def exchange(self, orders: Orders) -> Word:
        """Make one exchange."""

    def nudge(self) -> None:
        """End the wait of the exchange that is under way."""

    def kill(self) -> None:
        """End the worker."""


class Post:
    """What the driver knows of one worker that it serves."""

    def __init__(self, handle: Handle, now_s: float, routes: Mapping[str, SharedRoute], till: Till | None) -> None:
        self.handle, self.routes = handle, routes
        self.keepers = {name: route.keeper for name, route in routes.items()}
        self.sharers: list[Keeper | Till] = [*self.keepers.values(), *([till] if till else [])]
        self.word: Word | None = None
        self.closed: set[str] = set()  # models that it knows to be closed
        self.numbered: set[str] = set()  # models whose number it knows
        self.dictionary: Dictionary | None = None  # what it packs answers with
        self.is_given = False  # whether it was given rows since its last word
        self.rate_per_s = 0.0  # outcomes of late
        self.heard_s = now_s
        self.asked_s: float | None = None  # since when an exchange is under way
        self.nudged_s = 0.0

    @property
    def fresh(self) -> int:
        """Rows there that were never sent, by its last word."""
        return 0 if self.word is None else self.word.fresh

    @property
    def is_short(self) -> bool:
        """Whether it has no row that it has not sent yet, as far as that is known."""
        return not (self.fresh or self.is_given)

    @property
    def waiting(self) -> int:
        """Rows there that wait to be sent again, by its last word."""
        return 0 if self.word is None else self.word.waiting
