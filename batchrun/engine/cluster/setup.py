"""What a worker needs to send the requests of a job by itself: it travels to the worker as it is."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from batchrun.endpoint.access import Access, access_for
from batchrun.endpoint.advice import cure_for, unheard_cure
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Budget
from batchrun.endpoint.pool.leased import LeasedPool
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.engine.canaries import Canaries
from batchrun.engine.caps import budget_of, rates_of
from batchrun.engine.cluster.bound import Bound
from batchrun.engine.endpoint_rules import endpoint_rules
from batchrun.errors import BatchrunError
from batchrun.job.sections import Job
from batchrun.prompts.other_makers import OtherMakers
from batchrun.records import Request, Stop


class Known(NamedTuple):
    """What the driver knows of an endpoint from earlier executions."""

    place: str
    """The endpoint, in messages."""
    is_heard: bool
    """Whether it has replied."""
    answered: Mapping[str, Request | None]
    """The models that have answered rows there, each with the request of such a row, if it is known."""


@dataclass
class Setup:
    """A worker's part of a run."""

    job: Job
    """Its rates are those of one worker."""
    known: Mapping[str, Known]
    """By endpoint."""
    ceilings: Mapping[str, int]
    """By endpoint, how many requests the worker may have in flight at most."""
    uses_own_keys: bool = True
    """Whether keys on the worker's own machine are used."""
    own: frozenset[str] = frozenset()
    """Endpoints of which each node has its own."""
    accesses: dict[str, Access] = field(default_factory=dict)
    """By endpoint; set on the worker's own machine."""

    def find_keys(self) -> list[str]:
        """Find the keys in the environment of this machine; return the endpoints whose key is not there."""
        for name, endpoint in self.job.endpoints.items() if self.uses_own_keys else ():
            with contextlib.suppress(BatchrunError):
                access = access_for(endpoint)
                if access.has_key:
                    self.accesses[name] = access
        return [name for name in self.job.endpoints if name not in self.accesses]

    def clients(self) -> dict[str, HttpClient]:
        """Return a client for each endpoint."""
        return {name: self.accesses[name].client(self.job.limits, self.ceilings[name]) for name in self.job.endpoints}

    def new_budget(self) -> Budget | None:
        """Return a budget under the job's caps that allows nothing yet; None where there are no caps."""
        budget = budget_of(self.job, NOTHING_USED, simulated=not self.uses_own_keys)
        if budget is not None:
            budget.is_whole = False
            budget.account.room = Amount(*(cap if cap == inf else 0.0 for cap in budget.cap))
        return budget


class Acquainted:
    """What a worker knows of an endpoint: what the driver knew, and what its user can do."""

    def __init__(self, setup: Setup, name: str) -> None:
        self._setup, self._name = setup, name
        self.place, self.is_heard, self.answered = setup.known[name]

    def answered_before(self, model: str) -> Request | None:
        """Return the request of a row that a model has answered; None where it is not known."""
        return self.answered.get(model)

    def cure_of(self, kind: str, model: str) -> str:
        """Return what the user can do about a stop of a kind, by a model."""
        endpoint = self._setup.job.endpoints[self._name]
        if kind == UNHEARD:
            return unheard_cure(endpoint, self._setup.job.limits.patience_s)
        return cure_for(kind, endpoint, has_key=self._setup.accesses[self._name].has_key, model=model)


class PoolMaker:
    """Makes the pool of a worker."""

    def __init__(
        self, setup: Setup, clients: Mapping[str, HttpClient], budget: Budget | None, makers: OtherMakers
    ) -> None:
        self._setup, self._clients, self._budget, self._makers = setup, clients, budget, makers

    def __call__(
        self,
        bounds: Mapping[str, Bound],
        listeners: Listeners,
        *,
        may_admit: Callable[[], bool],
        on_stuck: Callable[[Stop], None],
    ) -> LeasedPool:
        """Return a pool with these limits by endpoint."""
        job = self._setup.job
        canaries, rates = Canaries(job, self._makers), rates_of(job)
        repair = None if job.response.schema is None else Repair(job.response)
        routes = []
        for name, endpoint in job.endpoints.items():
            known = Acquainted(self._setup, name)
            rules = endpoint_rules(job, name, known, canaries, rates=rates[name], repair=repair, budget=self._budget)
            routes.append(
                Route(name=name, client=self._clients[name], limit=bounds[name], rules=rules, models=endpoint.models)
            )
        own = self._setup.own
        return LeasedPool(routes, listeners, is_one_of_many=bool(own), may_admit=may_admit, on_stuck=on_stuck)


def most_workers(job: Job, workers: int) -> float:
    """Return how many workers a run may ever have that begins with so many: where it has rates, each has a part.

    More would make the sum of the parts more than the rates, and so would workers that cannot have a whole request.
    """
    limits, endpoints = job.limits, job.endpoints.values()
    stated = [limits.requests_per_minute, limits.tokens_per_minute]
    stated += [rate for each in endpoints for rate in (each.requests_per_minute, each.tokens_per_minute)]
    rates = [rate for rate in stated if rate is not None]
    return min(workers, *rates) if rates else inf


def split_rates(job: Job, workers: int) -> Job:
    """Return a job with one worker's part of its rates: what one leaves unused, no other takes."""

    def part(rate: int | None) -> int | None:
        return None if rate is None else max(1, rate // workers)

    limits = replace(
        job.limits,
        requests_per_minute=part(job.limits.requests_per_minute),
        tokens_per_minute=part(job.limits.tokens_per_minute),
    )
    endpoints = {
        name: replace(
            endpoint,
            requests_per_minute=part(endpoint.requests_per_minute),
            tokens_per_minute=part(endpoint.tokens_per_minute),
        )
        for name, endpoint in job.endpoints.items()
    }
    return replace(job, limits=limits, endpoint=next(iter(endpoints.values())), endpoints=endpoints)
