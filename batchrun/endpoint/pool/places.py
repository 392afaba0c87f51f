"""The places that the endpoints of a run have in common: how many, and who gets the next one. Pure: time is given.

All endpoints together may have no more requests in flight than the user's ceiling. Where that is less than their limits
allow, a place that becomes free at one endpoint is not simply used there again: then an endpoint that was away, or that
comes up late, would never get one. The next place goes to an endpoint whose probe is due, since that is how it comes
back. Otherwise it goes to the endpoint that uses the smallest share of its own limit. Among equals it goes to the one
that was sent nothing for the longest time: with one place in all, they take turns.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Protocol, TypeVar


class Claimant(Protocol):
    """An endpoint that takes places."""

    @property
    def claimed(self) -> int:
        """How many places it has."""

    @property
    def use(self) -> float:
        """The share of its slots that are in use."""

    @property
    def probe_s(self) -> float | None:
        """When a paused model may be asked next whether it answers again; None when none is paused."""

    @property
    def sent_s(self) -> float:
        """When it was last sent a request; -inf before the first."""


AnyClaimant = TypeVar("AnyClaimant", bound=Claimant)


class Places:
    """The places, and the endpoints that take them."""

    def __init__(self, ceiling: int | None, may_admit: Callable[[], bool]) -> None:
        """Begin.

        Args:
            ceiling: how many places there are; None where the endpoints' limits are enough.
            may_admit: asked before each request.
        """
        self._ceiling, self._may_admit = inf if ceiling is None else ceiling, may_admit
        self.may_admit = may_admit if ceiling is None else self._has_place
        """Whether one more request may be sent, what waits for a rate included."""
        self.claimants: Sequence[Claimant] = ()

    @property
    def _taken(self) -> int:
        return sum(each.claimed for each in self.claimants)

    def _has_place(self) -> bool:
        return self._taken < self._ceiling and self._may_admit()

    def may_keep(self, claimant: Claimant, now_s: float) -> bool:
        """Return whether an endpoint may use a place at once that has become free there."""
        if self._ceiling == inf or self._taken + 1 < self._ceiling:
            return True
        return next(iter(in_turn(self.claimants, now_s)), claimant) is claimant


def in_turn(claimants: Iterable[AnyClaimant], now_s: float) -> list[AnyClaimant]:
    """Return who gets the next place: whose probe is due, then the least used, then who has waited the longest."""
    return sorted(claimants, key=lambda each: (each.probe_s is None or each.probe_s > now_s, each.use, each.sent_s))
