"""The caps on money and on tokens: the most that a request can use is set aside before it is sent. Pure.

What answers stated plus what is set aside never exceeds a cap, whatever the answers turn out to be. An attempt that was
cut off, or answered too late, may have been billed or not: what was set aside for it stays set aside.
"""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from functools import reduce
from math import ceil, inf
from typing import NamedTuple

from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.job.catalogue import cap_text, cost_text, spent_text, used_text
from batchrun.records import Fault, Reply, Request, Usage


class Amount(NamedTuple):
    """Money and tokens: of a request, of a run, or of a cap."""

    usd: float = 0.0
    tokens: float = 0

    def plus(self, other: "Amount") -> "Amount":
        """Return both together."""
        return Amount(self.usd + other.usd, self.tokens + other.tokens)


Reserve = Amount
"""What is set aside for one attempt."""

NO_CAP = Amount(inf, inf)

ROUNDING = 1e-9
"""US dollars by which a cap may seem to be passed: sums of amounts that were added and taken away again."""

_NOTHING = Amount()


class Used(NamedTuple):
    """What a run has used so far, over all its executions."""

    spent: Amount = Amount()
    """What answers stated."""
    set_aside: Amount = Amount()
    """The most that requests can have used of which no answer was recorded, or whose answer stated nothing."""

    @property
    def total(self) -> Amount:
        """The most that was used."""
        return self.spent.plus(self.set_aside)

    def plus(self, other: "Used") -> "Used":
        """Return both together."""
        return Used(self.spent.plus(other.spent), self.set_aside.plus(other.set_aside))


NOTHING_USED = Used()


class CapTexts(NamedTuple):
    """What there is to say of a request that was not allowed, for people."""

    cap: str
    needs: str
    """What the request can use at most."""
    so_far: str
    cure: str


Worst = Callable[[Request], Amount]
Stated = Callable[[str, Usage], Amount | None]
Least = Callable[[str, Usage], Amount]


@dataclass(slots=True)
class Account:
    """What was used and is set aside, at all endpoints."""

    spent_usd: float
    spent_tokens: float
    unstated: Amount
    """Set aside for attempts that are over, and whose answer stated nothing or did not arrive."""
    room: Amount
    """How much may be used and set aside in all."""
    reserved_usd: float = 0.0
    reserved_tokens: float = 0
    """Set aside for what is in flight."""
    excess: Amount = Amount(1.0, 1.0)
    """How many times what was set aside for it a request has used, at most."""
    refused: Amount = Amount()
    """What would have been set aside for the last request that was not allowed."""
    lacks_tokens: bool = False
    """Whether it was the cap on tokens that did not allow it."""


class Budget:
    """What may still be used."""

    def __init__(
        self,
        cap: Amount,
        before: Used,
        worst: Worst,
        used: Stated,
        least: Least = lambda model, usage: _NOTHING,
        elsewhere: Used = NOTHING_USED,
    ) -> None:
        """Begin.

        Args:
            cap: never exceeded, over all executions. Infinite where there is none.
            before: what earlier executions have used.
            worst: the most that an attempt of this request can use; finite where there is no cap.
            used: what an answer of this model with this usage has used; None when it does not state its tokens.
            least: what it has used at least, if it states its tokens only in part.
            elsewhere: what another run has used that the cap counts too: of answers and their judge.
        """
        self.cap = cap
        self.is_whole = True
        """Whether the room is all that there is; a worker's may grow."""
        self.on_refused: Callable[[], None] = lambda: None
        """Called when a request is not allowed; to be set before `at`."""
        room = Amount(cap.usd - elsewhere.total.usd, cap.tokens - elsewhere.total.tokens)
        self.account = Account(*before.spent, before.set_aside, room)
        self._worst = worst
        self._used, self._least, self._elsewhere = used, least, elsewhere

    @property
    def refused(self) -> Amount:
        """What would have been set aside for the last request that was not allowed, at any endpoint."""
        return self.account.refused

    def at(self, worst: Worst, used: Stated, least: Least) -> "Budget":
        """Return the same budget with the prices of another endpoint; see `__init__`."""
        other = copy(self)
        other._worst, other._used, other._least = worst, used, least
        return other

    @property
    def owed(self) -> Amount:
        """What was spent and what is set aside, in flight included: the most that a process that dies now has used."""
        usd, tokens = self.set_aside
        return Amount(self.account.spent_usd + usd, self.account.spent_tokens + tokens)

    @property
    def set_aside(self) -> Amount:
        """What is set aside, in flight included."""
        return self.account.unstated.plus(self._scaled(self.account.reserved_usd, self.account.reserved_tokens))

    @property
    def used(self) -> Used:
        """What was used, apart from what is in flight."""
        return Used(Amount(self.account.spent_usd, self.account.spent_tokens), self.account.unstated)

    def reserve(self, request: Request) -> Reserve | None:
        """Set aside the most that the request can use; None when that is more than is left."""
        worst = self._worst(request)
        usd, tokens = self._scaled(*worst)
        owed_usd, owed_tokens = self.owed
        lacks_tokens = owed_tokens + tokens > self.account.room.tokens
        if lacks_tokens or owed_usd + usd > self.account.room.usd + ROUNDING:
            self.refuse(Amount(usd, tokens), lacks_tokens=lacks_tokens)
            self.on_refused()
            return None
        self.account.reserved_usd += worst.usd
        self.account.reserved_tokens += worst.tokens
        return worst

    def refuse(self, needed: Amount, *, lacks_tokens: bool) -> None:
        """Note a request that is not allowed, and which cap does not allow it: the message names both."""
        self.account.refused, self.account.lacks_tokens = needed, lacks_tokens

    def has_room(self, request: Request) -> bool:
        """Return whether the most that the request can use is left."""
        usd, tokens = self._scaled(*self._worst(request))
        owed_usd, owed_tokens = self.owed
        return owed_tokens + tokens <= self.account.room.tokens and owed_usd + usd <= self.account.room.usd + ROUNDING

    def allow(self, change: Amount) -> None:
        """Allow more, or, below 0, as much less as is free."""
        free = Amount(self.account.room.usd - self.owed.usd, self.account.room.tokens - self.owed.tokens)
        changes = (max(change.usd, -max(0.0, free.usd)), max(change.tokens, -max(0.0, free.tokens)))
        self.account.room = self.account.room.plus(Amount(*changes))

    def worst(self, request: Request) -> Amount:
        """Return the most that a request can use."""
        return self._scaled(*self._worst(request))

    def hold(self, amount: Amount, *, is_begun: bool = False) -> bool:
        """Set an amount aside for requests in a batch, over executions; return whether there was room.

        What is held does not count in `owed`: the batch is noted with it, until `collected` has its answers.

        Args:
            amount: the most that they can use.
            is_begun: whether they were sent by an earlier execution: then it is held in any case.
        """
        owed, room = self.owed, self.account.room
        lacks_tokens = owed.tokens + amount.tokens > room.tokens
        if not is_begun and (lacks_tokens or owed.usd + amount.usd > room.usd + ROUNDING):
            self.refuse(amount, lacks_tokens=lacks_tokens)
            return False
        self.account.room = room.plus(Amount(-amount.usd, -amount.tokens))
        return True

    def collected(self, held: Amount, usages: Iterable[tuple[str, Usage]], unstated: float) -> None:
        """Free what was held for a batch, and book what its answers state.

        Args:
            held: for the batch.
            usages: model and usage of each answer.
            unstated: share of what was held that stays set aside, for lines whose answers did not arrive, in [0, 1].
        """
        self.account.room = self.account.room.plus(held)
        used = [each for model, usage in usages if (each := self._used(model, usage)) is not None]
        total = reduce(Amount.plus, used, Amount())
        self.account.spent_usd += total.usd
        self.account.spent_tokens += total.tokens
        if unstated:
            self.account.unstated = self.account.unstated.plus(
                Amount(unstated * held.usd, ceil(unstated * held.tokens))
            )
        self._learn(held, total)

    def give_back(self, reserve: Reserve) -> None:
        """Free what was set aside for a request that was not sent."""
        self.account.reserved_usd -= reserve.usd
        self.account.reserved_tokens -= reserve.tokens

    def settle(self, reserve: Reserve, model: str, verdict: Verdict, result: Reply | Fault) -> None:
        """Book an attempt: what its answer states; nothing if the endpoint refused it; else it stays set aside."""
        self.give_back(reserve)
        if not (self._may_be_billed(result) or any(count is not None for count in verdict.usage)):
            return
        used = self._used(model, verdict.usage)
        if used is None:
            expected, least = self._scaled(*reserve), self._least(model, verdict.usage)
            kept = Amount(max(expected.usd, least.usd), max(expected.tokens, least.tokens))
            self.account.unstated = self.account.unstated.plus(kept)
        else:
            self.account.spent_usd += used.usd
            self.account.spent_tokens += used.tokens
        self._learn(reserve, kept if used is None else used)

    def _may_be_billed(self, result: Reply | Fault) -> bool:
        return result.is_success if isinstance(result, Reply) else result.was_sent

    def _learn(self, reserve: Reserve, used: Amount) -> None:
        """Set aside more for every request after an answer that used more than was set aside for it.

        The most that a request can use is known only as far as servers keep to `max_tokens`; some do not count
        reasoning in it.
        """
        usd = used.usd / reserve.usd if reserve.usd else 1.0
        tokens = used.tokens / reserve.tokens if reserve.tokens else 1.0
        self.account.excess = Amount(max(self.account.excess.usd, usd), max(self.account.excess.tokens, tokens))

    def _scaled(self, usd: float, tokens: float) -> Amount:
        """Return what must be set aside for requests that were expected to use at most this."""
        excess_usd, excess_tokens = self.account.excess
        return Amount(usd * excess_usd, tokens if excess_tokens == 1.0 else ceil(tokens * excess_tokens))

    @property
    def kind(self) -> str:
        """Which cap allowed no other request."""
        return "token_cap" if self.account.lacks_tokens else "cost_cap"

    @property
    def message(self) -> str:
        """Why no other request is allowed, and what to do, for people."""
        texts = self.texts
        return f"the {texts.cap} leaves no room for another request, {texts.needs}; {texts.so_far}; {texts.cure}"

    @property
    def texts(self) -> CapTexts:
        """What there is to say of the last request that was not allowed."""
        spent, set_aside = self.used.plus(self._elsewhere)
        if self.account.lacks_tokens:
            cap, flag = f"token cap of {self.cap.tokens:,}", "--max-tokens-total"
            needs = f"which can use up to {self.refused.tokens:,} tokens"
            used = used_text(spent.tokens, set_aside.tokens, lambda tokens: f"{tokens:,.0f} tokens")
            so_far = f"used so far: {used}"
        else:
            cap, flag = f"cost cap of {cap_text(self.cap.usd)} USD", "--max-cost"
            needs = f"which can cost up to {spent_text(self.refused.usd)} USD"
            if self.refused.usd == inf:
                needs = "whose model has no known price"
            so_far = f"spent so far: {cost_text(spent.usd, set_aside.usd)}"
        return CapTexts(cap, needs, so_far, f"raise {flag} and run the same command again")
