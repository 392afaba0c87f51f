"""The caps on money: what a request may cost at worst is set aside before it is sent. Pure.

`spent + set aside` never passes the cap, so the cap is never passed, whatever the answers turn out to be. An attempt
that was cut off, or answered too late, may have been billed or not; what was set aside for it stays so.
"""

from collections.abc import Callable
from typing import NamedTuple

from batchrun.pool.verdicts import Verdict
from batchrun.records import Fault, Reply, Request, Usage


class Reserve(NamedTuple):
    """What is set aside for one attempt."""

    usd: float


class Budget:
    """What may still be spent."""

    def __init__(
        self,
        cap_usd: float,
        spent_usd: float,
        worst_usd: Callable[[Request], float],
        cost_usd: Callable[[str, Usage], float | None],
    ) -> None:
        """Begin.

        Args:
            cap_usd: never passed; over all runs of the job.
            spent_usd: what earlier runs have cost.
            worst_usd: the most that an attempt of this request can cost.
            cost_usd: what an answer with this usage of this model has cost; None when it stated none.
        """
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        self._worst_usd = worst_usd
        self._cost_usd = cost_usd

    def reserve(self, request: Request) -> Reserve | None:
        """Set aside what the request may cost; None when that is more than is left."""
        worst_usd = self._worst_usd(request)
        if self.spent_usd + self.reserved_usd + worst_usd > self.cap_usd:
            return None
        self.reserved_usd += worst_usd
        return Reserve(worst_usd)

    def settle(self, reserve: Reserve, model: str, verdict: Verdict, result: Reply | Fault) -> None:
        """Book what an attempt has cost: an answer what it says; nothing what the endpoint refused; else the worst."""
        if result.status != 200 if isinstance(result, Reply) else not result.was_sent:
            cost_usd: float | None = 0.0
        else:
            cost_usd = self._cost_usd(model, verdict.usage)
        self.reserved_usd -= reserve.usd
        self.spent_usd += reserve.usd if cost_usd is None else cost_usd
