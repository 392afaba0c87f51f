"""The endpoints of one execution: the route to each, what is noted of it, and the limit that is shared with other runs.

Everything that is known about an endpoint is kept by its name: the limit that it was seen to hold, which models have
answered there, whether it has ever replied.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.limits import START, Change, Limit
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.silence import SilentGrowth
from batchrun.endpoint.pool.strides import Strides
from batchrun.engine.canaries import Canaries
from batchrun.engine.caps import rates_of
from batchrun.engine.contact import Contact
from batchrun.engine.endpoint_rules import endpoint_rules
from batchrun.engine.node_pauses import is_of_several_nodes
from batchrun.engine.pools import AnyPool, AnySender
from batchrun.engine.prepared import Prepared
from batchrun.engine.shared_limit import LimitMemory, Share
from batchrun.records import Attempted, Closed, Event, Spent, Stop


class Link:
    """One endpoint of an execution."""

    def __init__(self, prepared: Prepared, name: str, *, ceiling: int) -> None:
        """Connect the parts; nothing is sent.

        Args:
            prepared: what is sent, and with what.
            name: of the endpoint.
            ceiling: most requests in flight there.
        """
        self.name, self._job, self._store = name, prepared.job, prepared.store
        self._repair = prepared.repair
        self.contact = Contact(prepared.job, prepared.access[name], prepared.store, name)
        self.client = prepared.access[name].client(prepared.job.limits, ceiling)
        self.memory: LimitMemory = prepared.memories[name]
        self.strides = None if prepared.team is None else Strides(START)
        """Bound the growth of the limit where other machines send; None where this process does."""
        self.limit = self.new_limit(ceiling, self.strides, self._on_limit)
        self.change: Change | None = Change(0.0, self.limit.current, "start")
        """The last change of the limit that is not noted yet."""

    def new_limit(
        self, ceiling: int, strides: Strides | None, on_change: Callable[[Change], None] = lambda change: None
    ) -> Limit:
        """Return a limit that starts near the one learned before; a small one while other runs hold the learned one."""
        learned = self.memory.learned() or held_at(self._store, self.name)
        if self.memory.others():
            return Limit(ceiling, on_change=on_change, strides=strides)
        if learned is None:
            silence = None if strides is not None else SilentGrowth(lambda: self.client.connected_in_s)
            return Limit(ceiling, on_change=on_change, strides=strides, silence=silence)
        return Limit(ceiling, start=max(learned, START), known=True, on_change=on_change, strides=strides)

    def _on_limit(self, change: Change) -> None:
        self.change = change

    def route(self, canaries: Canaries, rates: Rates, budget: Budget | None) -> Route:
        """Return the route to the endpoint."""
        job, name = self._job, self.name
        rules = endpoint_rules(job, name, self.contact, canaries, rates=rates, repair=self._repair, budget=budget)
        return Route(name=name, client=self.client, limit=self.limit, rules=rules, models=job.endpoints[name].models)

    def note_change(self) -> bool:
        """Record how the limit has changed since the last call; return whether it was by an answer."""
        change, self.change = self.change, None
        if change is None:
            return False
        self._store.note_limit(_now_ms(), change.limit, change.reason, self.name)
        return change.at_s > 0

    async def share(self, sender: AnySender, *, has_more: bool) -> None:
        """Write for other runs of the project what this one uses of the limit, and leave them their share."""
        own = Share(sender.in_flight, wants_more=has_more and sender.in_flight < self.limit.ceiling)
        most = await asyncio.to_thread(self.memory.share, own)
        self.limit.cap(most, asyncio.get_running_loop().time())


class Links:
    """All endpoints of an execution. `async with` opens their connections."""

    def __init__(self, prepared: Prepared) -> None:
        job = prepared.job
        self._store, self._job = prepared.store, job
        most = job.limits.max_concurrency
        self._links = {
            name: Link(prepared, name, ceiling=min(endpoint.max_concurrency or most, most))
            for name, endpoint in job.endpoints.items()
        }
        self._opened = contextlib.AsyncExitStack()
        canaries, rates = Canaries(job, prepared.source.rendering.makers), rates_of(job)
        self.routes = [link.route(canaries, rates[name], prepared.budget) for name, link in self._links.items()]
        self.ceiling = most if sum(link.limit.ceiling for link in self._links.values()) > most else None
        """Most requests in flight at all endpoints together; None where their own limits are enough."""
        prepared.store.history.reachable.serving = lambda model: [*job.serving(model)]

    @property
    def links(self) -> Mapping[str, Link]:
        """The endpoints by name."""
        return self._links

    async def __aenter__(self) -> Self:
        for link in self._links.values():
            await self._opened.enter_async_context(link.client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def text(self, event: Event, pool: AnyPool) -> str:
        """Return the line of the log for an event of an endpoint."""
        assert not isinstance(event, Spent | Attempted)
        contact, sender = self._links[event.endpoint].contact, self._sender(event.endpoint, pool)
        is_served_elsewhere = isinstance(event, Closed) and event.model not in pool.closed
        if not is_of_several_nodes(pool):
            event = event._replace(node="")
        return contact.text(event, is_heard=sender.is_heard, is_served_elsewhere=is_served_elsewhere)

    async def explained(self, stop: Stop | None, pool: AnyPool) -> Stop | None:
        """Return the reason to stop, with what asking around shows of the first endpoint that is to blame."""
        for sender in pool.routes:
            is_to_blame = len(pool.routes) == 1 or any(
                stop and each.kind == stop.kind for each in sender.closed.values()
            )
            if is_to_blame:
                closed = pool.closed if len(pool.routes) == 1 else sender.closed
                explained = await self._links[sender.name].contact.explained(stop, closed)
                if explained is not stop:
                    return explained
        return stop

    def note_learned(self, pool: AnyPool) -> None:
        """Record what was learned of the endpoints. Called once a second: a ramp changes limits with every answer."""
        changes = [link.note_change() for link in self._links.values()]
        if any(changes):  # also for an execution that dies
            self._note_held(pool)
        for sender in pool.routes:
            if sender.is_heard:
                contact = self._links[sender.name].contact
                contact.note_heard()
                contact.note_answered(sender.answered)

    def remember(self, pool: AnyPool) -> None:
        """Record what was learned when the run has ended, for this run's next execution and for other runs."""
        self._note_held(pool)
        for name, held in held_by(pool).items():
            self._links[name].memory.learn(held)

    def _note_held(self, pool: AnyPool) -> None:
        held = held_by(pool)
        self._store.set_fact(facts.LIMIT, sum(held.values()))
        if self._job.has_several_endpoints:
            self._store.set_fact(facts.LIMITS, held)

    async def share(self, pool: AnyPool) -> None:
        """Leave other runs their share of each limit; of those of several nodes, of the first one's."""
        for sender in pool.routes:
            link = self._links[sender.name]
            if sender.limit is link.limit:
                await link.share(sender, has_more=pool.has_more)

    def _sender(self, name: str, pool: AnyPool) -> AnySender:
        return next(sender for sender in pool.routes if sender.name == name)


def held_by(pool: AnyPool) -> dict[str, int]:
    """Return how many requests each endpoint was seen to hold: where each node has its own, the best of them."""
    held: dict[str, int] = {}
    for sender in pool.routes:
        held[sender.name] = max(sender.limit.held, held.get(sender.name, 0))
    return held


def held_at(store: Store, name: str) -> int | None:
    """Return how many requests an endpoint was seen to hold in this run; None where that is not known.

    Args:
        store: the checkpoint.
        name: of the endpoint; empty where the job has one.
    """
    return (store.fact(facts.LIMITS) or {}).get(name) if name else store.fact(facts.LIMIT)


def _now_ms() -> int:
    return int(time.time() * 1000)
