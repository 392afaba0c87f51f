"""The caps of a run that workers carry out: what each may use, and the books of all together. Pure."""

from math import inf
from typing import NamedTuple

from batchrun.endpoint.pool.budget import Amount, Budget, Used
from batchrun.engine.cluster.purse import Purse, Share
from batchrun.records import Stop


class Books(NamedTuple):
    """A worker's word on what it may use and has used, of money and of tokens."""

    used: Used
    """Apart from what is in flight."""
    reserved: Amount
    """Set aside for what is in flight."""
    room: Amount
    """What it may use in all, as far as it knows."""
    wants: Amount
    """What its next request needs, where that is more than it has left."""
    can_part: bool
    """Whether that is a bundle, half of which would need less."""


NO_BOOKS = Books(Used(), Amount(), Amount(), Amount(), can_part=False)


class Grant(NamedTuple):
    """A change of what a worker may use."""

    change: Amount = Amount()
    """How much more it may use, or, below 0, how much it is to give back."""
    parts: bool = False
    """Whether it is to halve the bundle that it wants to send: nobody has as much as that needs."""


NO_GRANT = Grant()


def books_of(budget: Budget, *, is_broke: bool, can_part: bool) -> Books:
    """Return a worker's word on its budget.

    Args:
        budget: of the worker.
        is_broke: whether it has a request that its budget does not allow.
        can_part: whether that is a bundle.
    """
    used = budget.used
    set_aside = budget.set_aside
    reserved = Amount(set_aside.usd - used.set_aside.usd, set_aside.tokens - used.set_aside.tokens)
    return Books(used, reserved, budget.account.room, budget.refused if is_broke else Amount(), can_part)


class Till:
    """The budget of the run, shared among workers."""

    def __init__(self, budget: Budget) -> None:
        """Take the budget of the run; its account shows what all workers have used."""
        self._budget = budget
        self._before = budget.used
        room, owed = budget.account.room, budget.owed
        self._purses = {
            name: Purse(max(0.0, getattr(room, name) - getattr(owed, name)))
            for name in Amount._fields
            if getattr(budget.cap, name) < inf
        }
        self._books: dict[int, Books] = {}
        self._gone = Used()  # by workers that are gone
        self._parting: set[int] = set()  # workers that halve bundles, as far as they were heard

    def join(self, worker: int) -> None:
        """Add a worker that may use nothing yet."""
        self._books[worker] = NO_BOOKS
        for purse in self._purses.values():
            purse.join(worker)

    def leave(self, worker: int) -> None:
        """Remove a worker that is dead."""
        self._gone = self._gone.plus(self._books.pop(worker, NO_BOOKS).used)
        self._parting.discard(worker)
        for purse in self._purses.values():
            purse.leave(worker)
        self._book()

    def heard(self, worker: int, books: Books) -> None:
        """Take a worker's word."""
        self._books[worker] = books
        self._parting.discard(worker)
        for name, purse in self._purses.items():
            used = getattr(books.used.total, name)
            room, reserved, wants = (getattr(each, name) for each in (books.room, books.reserved, books.wants))
            purse.heard(worker, Share(room, used, reserved, wants))
        self._book()

    def grant(self, worker: int) -> Grant:
        """Return what a worker may use more or less, and whether it is to halve a bundle."""
        if parts := self._has_to_part(worker):
            self._parting.add(worker)
        return Grant(Amount(**{name: purse.grant(worker) for name, purse in self._purses.items()}), parts)

    def is_due(self, worker: int) -> bool:
        """Return whether there is something to tell a worker that has not asked."""
        return self._has_to_part(worker) or any(purse.is_due(worker) for purse in self._purses.values())

    def _has_to_part(self, worker: int) -> bool:
        return self._books[worker].can_part and worker not in self._parting and bool(self._broke)

    @property
    def _broke(self) -> list[str]:
        """The caps that allow nobody the request that needs least."""
        return [name for name, purse in self._purses.items() if purse.is_exhausted]

    def reason(self) -> Stop | None:
        """Return why nothing more can be sent; None while something can, or half of a bundle might be."""
        broke = self._broke
        if not broke or self._parting or any(books.can_part for books in self._books.values()):
            return None
        wants = Amount(**{name: self._purses[name].wants for name in broke})
        self._budget.refuse(wants, lacks_tokens="tokens" in broke)
        return Stop(kind=self._budget.kind, message=self._budget.message, exit_code=5)

    def _book(self) -> None:
        """Bring the account of the run up to date."""
        account, used = self._budget.account, self._before.plus(self._gone)
        for books in self._books.values():
            used = used.plus(books.used)
        lost = Amount(**{name: purse.lost for name, purse in self._purses.items()})
        account.spent_usd, account.spent_tokens = used.spent
        account.unstated = used.set_aside.plus(lost)
        account.reserved_usd = sum(books.reserved.usd for books in self._books.values())
        account.reserved_tokens = sum(books.reserved.tokens for books in self._books.values())
