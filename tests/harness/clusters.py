"""Workers in one process on the virtual clock: their words take time, get lost, and workers die."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from batchrun.checkpoint.packing import Packer
from batchrun.checkpoint.ready import Sealed, opened, outcomes_in
from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.leased import LeasedPool
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.rules import Listeners, Policy, Rules
from batchrun.endpoint.pool.strides import Strides
from batchrun.engine.cluster.bound import Bound
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.endpoints import Endpoints
from batchrun.engine.cluster.keeper import Keeper
from batchrun.engine.cluster.messages import Orders, Word, pack_orders, pack_word, unpack_orders, unpack_word
from batchrun.engine.cluster.post import WorkerDied, WorkerUnavailable
from batchrun.engine.cluster.till import Till
from batchrun.engine.cluster.worker import Worker, only_requests
from batchrun.records import Event, Outcome, Request, Stop
from harness.clock import run_virtually
from harness.runs import CANARY, requests

_MOST_S = 600.0
"""A run that takes longer, of virtual time, hangs."""


@dataclass
class Cluster:
    """What is wrong between the driver and its workers."""

    endpoint: Any
    lag_s: float = 0.005
    """How long a message takes, each way."""
    starts_s: float = 0.5
    """How long a worker takes to start."""
    later_s: Mapping[int, float] = field(default_factory=dict)
    """How much longer the workers of some places take."""
    lost: float = 0.0
    """Share of the answers that get lost: the call has to be repeated."""
    broken: float = 0.0
    """Share of the calls that fail at the driver while the worker still makes the exchange: they are repeated too."""
    seed: int = 1
    own: Sequence[Any] = ()
    """The endpoints of the nodes, one of each place; empty where all send to the same."""
    budget: Callable[[float], Budget] | None = None
    """Makes a budget with this cap in US dollars; None for a run without caps."""
    cap_usd: float = 0.0
    join: Callable[[Sequence[Request]], Request] | None = None
    """Makes one request of some requests of a bundle."""
    on_event: Callable[[Event, Driver], None] = lambda event, driver: None
    """Called with each event that the driver reports."""

    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """The lines of the log."""
    delays_s: list[float] = field(default_factory=list)
    """How long each outcome has taken from its worker to the driver."""
    workers: dict[int, "InProcess"] = field(default_factory=dict)
    hired: int = 0
    noted: int = 0
    """How many requests are in flight, as it was noted last."""
    most_noted: int = 0
    ended_s: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._budgets: list[Budget] = []  # of the worker that is made
        self._settled_s: dict[int, float] = {}  # by row, when a worker had its outcome

    def new_worker(self, entries: Any = only_requests, *, place: int = 0) -> Worker:
        """Return a worker that has not begun; `entries` makes its requests."""
        endpoint = self.own[place] if self.own else self.endpoint
        budget = None if self.budget is None else self.budget(0.0)
        if budget is not None:
            budget.is_whole = False
        self._budgets = [] if budget is None else [budget]
        make_pool = partial(self.make_pool, endpoint)
        return Worker(make_pool, {"": 1_000}, budget=budget, timeout_s=600.0, entries=entries)

    def hire(self, place: int) -> "InProcess":
        """Start a worker."""
        self.hired += 1
        self.workers[place] = InProcess(self, place)
        return self.workers[place]

    def make_pool(
        self,
        endpoint: Any,
        bounds: Mapping[str, Bound],
        listeners: Listeners,
        *,
        may_admit: Callable[[], bool],
        on_stuck: Callable[[Stop], None],
    ) -> LeasedPool:
        """Return a worker's pool."""

        def on_outcome(outcome: Outcome) -> None:
            self._settled_s[outcome.row] = asyncio.get_running_loop().time()
            listeners.on_outcome(outcome)

        rules = Rules(
            policy=Policy(),
            canary=lambda model, is_bare: Request(-1, model, 0, b"", CANARY, None),
            join=self.join,
            budget=copy.copy(self._budgets.pop()) if self._budgets else None,  # each endpoint has one, with its prices
        )
        return LeasedPool(
            [Route(client=endpoint, limit=bounds[""], rules=rules)],
            replace(listeners, on_outcome=on_outcome),
            is_one_of_many=bool(self.own),
            may_admit=may_admit,
            on_stuck=on_stuck,
            uniform=self.chance.random,
            unix_s=lambda: 0.0,
        )

    def run(
        self,
        rows: int | Sequence[Request],
        *,
        workers: int | Callable[[], int] = 4,
        limit: Callable[[Strides], Limit] = lambda strides: Limit(5_000, strides=strides),
        most_each: int = 1_000,
        ceiling: int | None = None,
        meanwhile: Callable[["Cluster", Driver], Any] | None = None,
    ) -> Stop | None:
        """Send rows to their end; `meanwhile` runs next to it."""

        async def batches() -> AsyncIterator[Sequence[Request]]:
            asked = requests(rows) if isinstance(rows, int) else rows
            for start in range(0, len(asked), 100):
                yield asked[start : start + 100]

        async def main() -> Stop | None:
            strides = Strides(8)
            self.keeper = Keeper(limit(strides), strides, most_each)
            listeners = Listeners(on_outcome=self._on_outcome, on_event=self._on_event, on_flight=self._on_flight)
            self.account = None if self.budget is None else self.budget(self.cap_usd)
            till = None if self.account is None else Till(self.account)
            own = {"": lambda: self._another(limit, most_each)} if self.own else None
            self.endpoints = Endpoints({"": self.keeper}, asyncio.get_running_loop().time, own=own, ceiling=ceiling)
            self.driver = driver = Driver(
                self.hire,
                self.endpoints,
                listeners,
                Recorder(self._on_outcome),
                workers=workers if callable(workers) else lambda: workers,
                till=till,
                say=self.log.append,
            )
            next_to_it = None if meanwhile is None else asyncio.ensure_future(meanwhile(self, driver))
            async with asyncio.timeout(_MOST_S):
                stop = await driver.run(batches())
            self.ended_s = asyncio.get_running_loop().time()
            if next_to_it is not None and not next_to_it.cancel():
                next_to_it.result()  # raises what a test found to be wrong
            await asyncio.gather(*(each.end() for each in self.workers.values()))
            return stop

        return run_virtually(main())

    def _another(self, limit: Callable[[Strides], Limit], most_each: int) -> Keeper:
        strides = Strides(8)
        return Keeper(limit(strides), strides, most_each)

    def _on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.delays_s.append(asyncio.get_running_loop().time() - self._settled_s[outcome.row])

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event, self.driver)

    def _on_flight(self, in_flight: int) -> None:
        self.noted = in_flight
        self.most_noted = max(self.most_noted, in_flight)


class Recorder:
    """Stands where the checkpoint stands."""

    def __init__(self, on_outcome: Callable[[Outcome], None]) -> None:
        self._on_outcome = on_outcome
        self._numbers: dict[str, int] = {}
        self.packer = Packer()

    def has_room(self) -> bool:
        """Return that more may be put."""
        return True

    def model_id(self, model: str) -> int:
        """Return the number of a model."""
        return self._numbers.setdefault(model, len(self._numbers))

    def put_ready(self, ready: Sealed) -> None:
        """Take outcomes."""
        found = list(outcomes_in(opened(ready.content)))
        assert len(found) == ready.rows
        for outcome in found:
            self._on_outcome(outcome)


class InProcess:
    """A worker in this process, behind a network."""

    def __init__(self, cluster: Cluster, place: int) -> None:
        self._cluster, self._place = cluster, place
        self.node = self.address = f"node{place}" if cluster.own else "here"
        self.worker: Worker | None = None
        self.is_dead = False
        self._reached = asyncio.Event()
        self._reached.set()
        self._death = asyncio.Event()
        self._making: asyncio.Task[Word] | None = None
        self._abandoned: list[asyncio.Task[Word]] = []  # exchanges whose answers nobody waits for

    @property
    def is_cut_off(self) -> bool:
        """Whether no message arrives, in either direction."""
        return not self._reached.is_set()

    @is_cut_off.setter
    def is_cut_off(self, is_cut_off: bool) -> None:
        if is_cut_off:
            self._reached.clear()
        else:
            self._reached.set()

    @property
    def in_flight(self) -> int:
        """How many requests it has in flight."""
        return 0 if self.worker is None else self.worker.in_flight

    @property
    def unshipped(self) -> int:
        """How many outcomes it has that the driver does not have."""
        return 0 if self.worker is None else self.worker.unshipped

    async def open(self) -> str:
        """Start."""
        await asyncio.sleep(self._cluster.starts_s + self._cluster.later_s.get(self._place, 0.0))
        self.worker = self._cluster.new_worker(place=self._place)
        return await self.worker.begin()

    async def exchange(self, orders: Orders) -> Word:
        """Make an exchange, unless the worker dies meanwhile."""
        if not self.is_dead:
            self._making = asyncio.ensure_future(self._exchange(orders))
            await asyncio.wait((self._making,))
        if self.is_dead or self._making is None:
            await self._death.wait()
            raise WorkerDied
        return self._making.result()

    async def _exchange(self, orders: Orders) -> Word:
        await self._travel()
        assert self.worker is not None
        made = asyncio.ensure_future(self.worker.exchange(unpack_orders(pack_orders(orders))))
        if self._cluster.chance.random() < self._cluster.broken:
            self._abandoned.append(made)
            await self._travel()
            raise WorkerUnavailable
        word = unpack_word(pack_word(await made))
        await self._travel()
        if self._cluster.chance.random() < self._cluster.lost:
            raise WorkerUnavailable
        return word

    async def _travel(self) -> None:
        await asyncio.sleep(self._cluster.lag_s * self._cluster.chance.uniform(0.5, 1.5))
        await self._reached.wait()

    def nudge(self) -> None:
        """Pass a nudge on."""
        if self.worker is not None and not self.is_cut_off:
            asyncio.get_running_loop().call_later(self._cluster.lag_s, self.worker.nudge)

    def kill(self) -> None:
        """Do nothing: the harness ends workers."""

    async def die(self, noticed_s: float = 2.0) -> None:
        """Die now; it is noticed later."""
        self.is_dead = True
        self.is_cut_off = True
        if self._making is not None:
            self._making.cancel()
        await self.end()
        await asyncio.sleep(noticed_s)
        self._death.set()

    async def end(self) -> None:
        """End what the worker does."""
        if self.worker is not None:
            await self.worker.end()
