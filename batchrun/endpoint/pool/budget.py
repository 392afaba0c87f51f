"""The caps on money and on tokens: what a request may use at worst is set aside before it is sent. Pure.

`spent + set aside` never passes a cap, so the cap is never passed, whatever the answers turn out to be. An attempt
that was cut off, or answered too late, may have been billed or not; what was set aside for it stays so.
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


Reserve = Amount
"""What is set aside for one attempt."""

NO_CAP = Amount(inf, inf)

_NOTHING = Amount()


class Budget:
    """What may still be used."""

    def __init__(
        self,
        cap: Amount,
        spent: Amount,
        worst: Callable[[Request], Amount],
        used: Callable[[str, Usage], Amount | None],
    ) -> None:
        """Begin.

        Args:
            cap: never passed; over all runs of the job. Infinite where there is none.
            spent: what earlier runs have used.
            worst: the most that an attempt of this request can use; finite of what has no cap.
            used: what an answer with this usage of this model has used; None when it stated none.
        """
        self.cap = cap
        self.spent_usd, self.spent_tokens = spent
        self.reserved_usd, self.reserved_tokens = _NOTHING
        self._worst = worst
        self._used = used
        self._lacks_tokens = False  # the last request that was not allowed

    @property
    def owed(self) -> Amount:
        """What is spent and set aside: what a process that dies now may have used."""
        return Amount(self.spent_usd + self.reserved_usd, self.spent_tokens + self.reserved_tokens)

    def reserve(self, request: Request) -> Reserve | None:
        """Set aside what the request may use; None when that is more than is left."""
        usd, tokens = worst = self._worst(request)
        self._lacks_tokens = self.spent_tokens + self.reserved_tokens + tokens > self.cap.tokens
        if self._lacks_tokens or self.spent_usd + self.reserved_usd + usd > self.cap.usd:
            return None
        self.reserved_usd += usd
        self.reserved_tokens += tokens
        return worst

    def give_back(self, reserve: Reserve) -> None:
        """Free what was set aside for a request that was not sent."""
        self.reserved_usd -= reserve.usd
        self.reserved_tokens -= reserve.tokens

    def settle(self, reserve: Reserve, model: str, verdict: Verdict, result: Reply | Fault) -> None:
        """Book what an attempt has used: an answer what it says; nothing what the endpoint refused; else the worst."""
        if result.status != 200 if isinstance(result, Reply) else not result.was_sent:
            used: Amount | None = _NOTHING
        else:
            used = self._used(model, verdict.usage)
        usd, tokens = reserve if used is None else used
        self.give_back(reserve)
        self.spent_usd += usd
        self.spent_tokens += tokens

    @property
    def kind(self) -> str:
        """Which cap it was that allowed no other request."""
        return "token_cap" if self._lacks_tokens else "cost_cap"

    @property
    def message(self) -> str:
        """Why no other request is allowed, and what to do, for people."""
        if self._lacks_tokens:
            cap, spent, flag = f"token cap of {self.cap.tokens:,}", f"{self.spent_tokens:,} are", "--max-tokens-total"
        else:
            cap, spent, flag = f"cost cap of {self.cap.usd:g} USD", f"{self.spent_usd:.4f} USD are", "--max-cost"
        room = f"the {cap} leaves no room for another request"
        return f"{room}; {spent} spent; raise {flag} and run the same command again"
