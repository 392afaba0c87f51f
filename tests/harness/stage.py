"""A pool that a test drives itself: it can stop it, hold it back and look into it while it runs."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rules import Listeners, Policy
from batchrun.records import Event, Request, Stop
from harness.clock import run_virtually
from harness.runs import CANARY, requests, route


class Stage:
    """A pool, its outcomes and its events."""

    def __init__(self, endpoint: Any, rows: int, *, on_outcome: Any = None, **settings: Any) -> None:
        self.outcomes: list[int] = []
        self.asked = 0
        self.is_open = True
        self.events: list[Event] = []
        self.flights: list[int] = []  # how many requests are in flight, as it was noted
        self.pool = Pool(
            [
                route(
                    endpoint,
                    limit=settings.pop("limit", None) or Limit(20, start=20),
                    policy=Policy(**settings.pop("policy", {})),
                    canary=lambda model, is_bare: Request(-1, model, 0, b"", CANARY, None),
                    **settings,
                )
            ],
            Listeners(
                on_outcome=on_outcome or (lambda outcome: self.outcomes.append(outcome.row)),
                on_event=self.events.append,
                on_flight=self.flights.append,
            ),
            may_admit=self._may_admit,
            uniform=random.Random(7).random,
            unix_s=lambda: 0.0,
        )
        self._rows = rows

    def _may_admit(self) -> bool:
        self.asked += 1
        return self.is_open

    async def batches(self) -> AsyncIterator[Sequence[Request]]:
        """Yield all rows in batches of a hundred."""
        for start in range(0, self._rows, 100):
            yield requests(self._rows)[start : start + 100]

    def run(self, meanwhile: Callable[["Stage"], Any] | None = None, after_s: float = 0.0) -> Stop | None:
        """Run to the end; call `meanwhile` after a while."""

        async def main() -> Stop | None:
            if meanwhile is not None:
                asyncio.get_running_loop().call_later(after_s, meanwhile, self)
            return await self.pool.run(self.batches())

        return run_virtually(main())
