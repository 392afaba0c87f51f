"""The caps on money and on tokens: the most that a request can use is set aside before it is sent. Pure.

What answers stated plus what is set aside never exceeds a cap, whatever the answers turn out to be. An attempt that was
cut off, or answered too late, may have been billed or not: what was set aside for it stays set aside.
"""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from batchrun.endpoint.pool.verdicts import Verdict
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


NOTHING_USED = Used()


class Budget:
    """What may still be used."""

    def __init__(
        self,
        cap: Amount,
        before: Used,
        worst: Callable[[Request], Amount],
        used: Callable[[str, Usage], Amount | None],
    ) -> None:
        """Begin.

        Args:
            cap: never exceeded, over all executions. Infinite where there is none.
            before: what earlier executions have used.
            worst: the most that an attempt of this request can use; finite where there is no cap.
            used: what an answer of this model with this usage has used; None when it stated no tokens.
        """
        self.cap = cap
        self.spent_usd, self.spent_tokens = before.spent
        self._unstated = before.set_aside
        self.reserved_usd, self.reserved_tokens = _NOTHING
        self._worst = worst
        self._used = used
        self._lacks_tokens = False  # the last request that was not allowed

    @property
    def owed(self) -> Amount:
        """What was spent and what is set aside, in flight included: the most that a process that dies now has used."""
        usd, tokens = self._unstated
        return Amount(self.spent_usd + usd + self.reserved_usd, self.spent_tokens + tokens + self.reserved_tokens)

    @property
    def set_aside(self) -> Amount:
        """What is set aside, in flight included."""
        return self._unstated.plus(Amount(self.reserved_usd, self.reserved_tokens))

    @property
    def used(self) -> Used:
        """What was used, apart from what is in flight."""
        return Used(Amount(self.spent_usd, self.spent_tokens), self._unstated)

    def reserve(self, request: Request) -> Reserve | None:
        """Set aside the most that the request can use; None when that is more than is left."""
        usd, tokens = worst = self._worst(request)
        owed_usd, owed_tokens = self.owed
        self._lacks_tokens = owed_tokens + tokens > self.cap.tokens
        if self._lacks_tokens or owed_usd + usd > self.cap.usd:
            return None
        self.reserved_usd += usd
        self.reserved_tokens += tokens
        return worst

    def give_back(self, reserve: Reserve) -> None:
        """Free what was set aside for a request that was not sent."""
        self.reserved_usd -= reserve.usd
        self.reserved_tokens -= reserve.tokens

    def settle(self, reserve: Reserve, model: str, verdict: Verdict, result: Reply | Fault) -> None:
        """Book an attempt: what its answer states; nothing if the endpoint refused it; else it stays set aside."""
        if result.status != 200 if isinstance(result, Reply) else not result.was_sent:
            used: Amount | None = _NOTHING
        else:
            used = self._used(model, verdict.usage)
        self.give_back(reserve)
        if used is None:
            self._unstated = self._unstated.plus(reserve)
        else:
            self.spent_usd += used.usd
            self.spent_tokens += used.tokens

    @property
    def kind(self) -> str:
        """Which cap allowed no other request."""
        return "token_cap" if self._lacks_tokens else "cost_cap"

    @property
    def message(self) -> str:
        """Why no other request is allowed, and what to do, for people."""
        spent, set_aside = self.used
        if self._lacks_tokens:
            cap, flag = f"token cap of {self.cap.tokens:,}", "--max-tokens-total"
            amounts = [f"{spent.tokens:,} tokens were used", f"{set_aside.tokens:,}" if set_aside.tokens else ""]
        else:
            cap, flag = f"cost cap of {self.cap.usd:g} USD", "--max-cost"
            amounts = [f"{spent.usd:.4f} USD were spent", f"{set_aside.usd:.4f} USD" if set_aside.usd else ""]
        if amounts[1]:
            amounts[1] += " more are set aside for requests whose cost is not known"
        state = " and ".join(filter(None, amounts))
        return f"the {cap} leaves no room for another request: {state}; raise {flag} and run the same command again"
