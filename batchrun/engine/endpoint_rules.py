"""The rules for requests to one endpoint of a job: the same in this process and in the workers of a cluster."""

from collections.abc import Collection
from typing import Protocol

from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.rules import Rules
from batchrun.endpoint.pool.strict import Strictness
from batchrun.engine.canaries import Canaries
from batchrun.engine.caps import budget_at
from batchrun.engine.contact import policy_of
from batchrun.job.endpoint import REQUESTS
from batchrun.job.sections import Job
from batchrun.prompts.bundles import joined
from batchrun.records import Request


class Acquaintance(Protocol):
    """What is known of an endpoint from earlier executions, and what its user can do."""

    @property
    def place(self) -> str:
        """The endpoint, in messages."""

    @property
    def is_heard(self) -> bool:
        """Whether it has replied."""

    @property
    def answered(self) -> Collection[str]:
        """The models that have answered rows there."""

    def answered_before(self, model: str) -> Request | None:
        """Return the request of a row that a model has answered; None where it is not known."""

    def cure_of(self, kind: str, model: str) -> str:
        """Return what the user can do about a stop of a kind, by a model."""


def endpoint_rules(
    job: Job,
    name: str,
    known: Acquaintance,
    canaries: Canaries,
    *,
    rates: Rates,
    repair: Repair | None,
    budget: Budget | None,
) -> Rules:
    """Return the rules for an endpoint.

    Args:
        job: that is run.
        name: of the endpoint.
        known: what is known of it.
        canaries: of the run, or of the worker.
        rates: of the endpoint.
        repair: checks answers against the job's schema.
        budget: of the run, or of the worker; None where there are no caps.
    """
    forms = canaries.strict_forms
    return Rules(
        policy=policy_of(job.limits),
        canary=canaries.request,
        rates=rates,
        repair=repair,
        join=joined,
        strict=None if forms is None else Strictness(*forms, endpoint=name),
        budget=None if budget is None else budget_at(job, budget, job.endpoints[name].sent_via(REQUESTS)),
        fallbacks=job.fallbacks,
        models=len(job.models),
        answered=known.answered,
        answered_before=known.answered_before,
        is_heard=known.is_heard,
        place=known.place,
        cure_of=known.cure_of,
    )
