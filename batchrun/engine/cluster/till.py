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


NO_BOOKS = Books(Used(), Amount(), Amount(), Amount())


def books_of(budget: Budget, *, is_broke: bool) -> Books:
    """Return a worker's word on its budget; `is_broke`: it has a request that its budget does not allow."""
    used = budget.used
    set_aside = budget.set_aside
    reserved = Amount(set_aside.usd - used.set_aside.usd, set_aside.tokens - used.set_aside.tokens)
    return Books(used, reserved, budget.account.room, budget.refused if is_broke else Amount())


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

    def join(self, worker: int) -> None:
        """Add a worker that may use nothing yet."""
        self._books[worker] = NO_BOOKS
        for purse in self._purses.values():
            purse.join(worker)

    def leave(self, worker: int) -> None:
        """Remove a worker that is dead."""
        self._gone = self._gone.plus(self._books.pop(worker, NO_BOOKS).used)
        for purse in self._purses.values():
            purse.leave(worker)
        self._book()

    def heard(self, worker: int, books: Books) -> None:
        """Take a worker's word."""
        self._books[worker] = books
        for name, purse in self._purses.items():
            used = getattr(books.used.total, name)
            room, reserved, wants = (getattr(each, name) for each in (books.room, books.reserved, books.wants))
            purse.heard(worker, Share(room, used, reserved, wants))
        self._book()

    def grant(self, worker: int) -> Amount:
        """Return how much more a worker may use, or, below 0, how much it is to give back."""
        return Amount(**{name: purse.grant(worker) for name, purse in self._purses.items()})

    def is_due(self, worker: int) -> bool:
        """Return whether there is something to tell a worker that has not asked."""
        return any(purse.is_due(worker) for purse in self._purses.values())

    def reason(self) -> Stop | None:
        """Return why nothing more can be sent; None while something can."""
        broke = [name for name, purse in self._purses.items() if purse.is_exhausted]
        if not broke:
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
