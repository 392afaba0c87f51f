"""Runs the real pool against a server model on the virtual clock."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.room import Canary
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.rules import Listeners, Policy, Rules
from batchrun.records import Event, Outcome, Request, Stop
from harness.clock import run_virtually
from harness.endpoints import Endpoint

CANARY = b"canary"


@dataclass
class Run:
    """What a run came to."""

    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    flights: list[int] = field(default_factory=list)
    """What was noted as in flight, each time."""
    stop: Stop | None = None
    ended_s: float = 0.0

    def count(self, kind: type) -> int:
        """Return how many events of a kind there were."""
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def failed(self) -> list[Outcome]:
        """The rows that failed."""
        return [outcome for outcome in self.outcomes if outcome.kind is not None]


def requests(count: int, model: str = "m") -> list[Request]:
    """Return requests whose body is their number."""
    return [Request(row, model, 0, b"", b"row-%d" % row, None) for row in range(count)]


def rates_by_bytes(requests_per_minute: int | None, tokens_per_minute: int | None) -> Rates:
    """Return rates that take a token for four bytes."""
    return Rates(requests_per_minute, tokens_per_minute, lambda request: len(request.body) / 4)


def _canary(model: str, *, is_bare: bool) -> Request:
    body = CANARY if model == "m" else b"canary-%s" % model.encode()
    return Request(-1, model, 0, b"", body, None)


def route(
    client: Any,
    name: str = "",
    *,
    limit: Any = None,
    policy: Policy | None = None,
    canary: Canary | None = None,
    serves: Mapping[str, str] | None = None,
    **rules: Any,
) -> Route:
    """Return a route to a server model; see `send_all`."""
    decided = Rules(policy=policy or Policy(), canary=canary or _canary, **rules)
    return Route(name=name, client=client, limit=limit or Limit(5_000), rules=decided, models=serves)


def send_all(
    endpoint: Any,
    rows: int | Sequence[Request],
    *,
    seed: int = 7,
    ceiling: int | None = None,
    pools: list[Pool] | None = None,
    **settings: Any,
) -> Run:
    """Send rows through a pool to their end, on the virtual clock.

    Args:
        endpoint: whatever has `send`; or the routes, where there are several.
        rows: how many, or which.
        seed: of the pool's jitter.
        ceiling: most requests in flight at all endpoints together.
        pools: gets the pool, for tests that watch it.
        settings: of the route. `limit` is the controller, a new one with a high ceiling unless given; `policy` of the
            pool; `canary` makes canaries, all are `CANARY` unless given; further rules of the pool.
    """
    run = Run()
    asked = requests(rows) if isinstance(rows, int) else list(rows)

    async def batches() -> AsyncIterator[list[Request]]:
        for start in range(0, len(asked), 256):
            yield asked[start : start + 256]

    async def main() -> None:
        import asyncio

        pool = Pool(
            endpoint if isinstance(endpoint, list) else [route(endpoint, **settings)],
            Listeners(on_outcome=run.outcomes.append, on_event=run.events.append, on_flight=run.flights.append),
            ceiling=ceiling,
            uniform=random.Random(seed).random,
            unix_s=lambda: 1_700_000_000.0,
        )
        if pools is not None:
            pools.append(pool)
        run.stop = await pool.run(batches())
        run.ended_s = asyncio.get_running_loop().time()

    run_virtually(main())
    return run


__all__ = ["CANARY", "Endpoint", "Run", "requests", "send_all"]
