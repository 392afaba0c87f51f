"""The driver's side of a cap on money or on tokens: how much each worker may use, so that the sum never passes it.

Pure. A worker reserves the most that a request can use before it sends it, out of what it was given. It is given as
much again as it has in flight, so that it need not wait, and little is set aside if it dies. Near the cap, those that
need less give back what others need.
"""

from typing import NamedTuple

from batchrun.endpoint.pool.budget import ROUNDING


class Share(NamedTuple):
    """A worker's word on its part of the cap: US dollars, or tokens."""

    given: float
    """What it may use in all, as far as it knows."""
    used: float
    """What it has used, with what is set aside for answers that stated nothing."""
    reserved: float
    """Set aside for what is in flight."""
    wants: float
    """What its next request needs, where that is more than it has left; else 0."""

    @property
    def free(self) -> float:
        """What it could give back."""
        return max(0.0, self.given - self.used - self.reserved)

    @property
    def over(self) -> float:
        """What it has used beyond what it was given: answers have used more than was set aside for them."""
        return max(0.0, self.used + self.reserved - self.given)

    @property
    def lack(self) -> float:
        """What it needs of what others have left before it can go on; 0 where it can."""
        return max(0.0, self.wants - self.free)


_ROUNDING = ROUNDING / 2
"""Less than what a budget allows in addition: who is given its lack but for this can go on."""

_NOTHING = Share(0.0, 0.0, 0.0, 0.0)


class Purse:
    """Shares among workers what a cap allows."""

    def __init__(self, room: float) -> None:
        """Begin with what may be used from now on."""
        self._room = room
        self._shares: dict[int, Share] = {}
        self._gone = 0.0  # used by workers that are gone
        self.lost = 0.0
        """The most that workers that died have used without a word of it."""

    def __repr__(self) -> str:
        return f"<Purse {self.left:g} of {self._room:g} left, {len(self._shares)} workers>"

    @property
    def used(self) -> float:
        """What all workers have used, as far as they have reported it."""
        return self._gone + sum(share.used for share in self._shares.values())

    @property
    def reserved(self) -> float:
        """What is set aside for what is in flight."""
        return sum(share.reserved for share in self._shares.values())

    @property
    def left(self) -> float:
        """What nobody was given yet."""
        given = sum(share.given + share.over for share in self._shares.values())
        return max(0.0, self._room - self._gone - self.lost - given)

    @property
    def wants(self) -> float:
        """The least that a worker needs that cannot go on; 0 where all can."""
        return min((share.wants for share in self._shares.values() if share.wants), default=0.0)

    @property
    def is_exhausted(self) -> bool:
        """Whether a worker cannot go on, and nothing that is in flight or elsewhere could change that."""
        first = self._first
        if first is None or self.reserved >= ROUNDING:
            return False
        others = sum(share.free for each, share in self._shares.items() if each != first)
        return self._shares[first].lack > self.left + others + _ROUNDING

    @property
    def _first(self) -> int | None:
        """The worker that can go on with the least of what all have left together; None where all can."""
        short = [(share.wants, each) for each, share in self._shares.items() if share.lack > _ROUNDING]
        return min(short)[1] if short else None

    def join(self, worker: int) -> None:
        """Add a worker that has nothing."""
        self._shares[worker] = _NOTHING

    def leave(self, worker: int) -> None:
        """Remove a worker that is dead: what it was given and has not reported counts as used."""
        share = self._shares.pop(worker, _NOTHING)
        self._gone += share.used
        self.lost += max(0.0, share.given - share.used)

    def heard(self, worker: int, share: Share) -> None:
        """Take a worker's word; all that it was given before is in it."""
        self._shares[worker] = share

    def grant(self, worker: int) -> float:
        """Return how much more a worker may use, or, below 0, how much it is to give back."""
        share = self._shares[worker]
        change = self._change(worker, share) + share.over
        if change > 0:  # it counts as given from now on; what is to be given back does not until it is
            self._shares[worker] = share._replace(given=share.given + change)
        return change

    def is_due(self, worker: int) -> bool:
        """Return whether a worker that has not asked can go on with what is left, or is to give back."""
        share = self._shares[worker]
        change = self._change(worker, share)
        return change < -_ROUNDING or (change > 0 and share.lack > _ROUNDING)

    def _change(self, worker: int, share: Share) -> float:
        left, first = self.left, self._first
        if share.lack > _ROUNDING and left >= share.lack - _ROUNDING:
            return min(left, max(share.wants, share.reserved) - share.free)
        if first is not None and first != worker and self._shares[first].lack > left + _ROUNDING:
            return -share.free  # who is first gets what the others do not use
        return min(left, share.reserved - share.free) if share.free < share.reserved / 2 else 0.0
