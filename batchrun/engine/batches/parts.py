"""The parts of a pool of batches, put together for one job."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.checkpoint.store import Store
from batchrun.endpoint.batches.client import BatchClient
from batchrun.endpoint.pool.closure import REFUSED
from batchrun.endpoint.pool.verdicts import EFFECTS, Verdict
from batchrun.engine.batches.closed_models import ClosedModels
from batchrun.engine.batches.collection import Collector
from batchrun.engine.batches.courier import Courier
from batchrun.engine.batches.overview import BatchRoute
from batchrun.engine.batches.owner import Owner
from batchrun.engine.batches.planner import Planner, Traffic
from batchrun.engine.batches.provider import Provider
from batchrun.engine.contact import Contact
from batchrun.engine.links import Links
from batchrun.engine.prepared import Prepared
from batchrun.job.batch_providers import Most, batch_provider
from batchrun.job.endpoint import Endpoint
from batchrun.records import Event, ModelTotals, Outcome, Stop

_OF_THE_JOB = "check the parameters of the job against what the model takes; then run the same command again"


def _planner(
    prepared: Prepared,
    name: str,
    put: Callable[[Outcome], None],
    traffic: Traffic,
    closed: Collection[str],
) -> Planner:
    endpoint = prepared.job.endpoints[name]
    names = endpoint.models or {}
    return Planner(
        log=prepared.store.batches,
        directory=prepared.job.run_directory,
        most=_most(endpoint),
        kinds=batch_provider(endpoint.base_url).kinds,
        its_model=lambda model: names.get(model, model),
        budget=prepared.budget,
        endpoint=name,
        put=put,
        traffic=traffic,
        closed=closed,
    )


def _most(endpoint: Endpoint) -> Most:
    most = batch_provider(endpoint.base_url).most
    return most._replace(requests=min(endpoint.batch_requests or most.requests, most.requests))


def _collector(
    prepared: Prepared, name: str, provider: Provider, route: BatchRoute, put: Callable[[Outcome], None]
) -> Collector:
    job, store = prepared.job, prepared.store
    return Collector(
        log=store.batches,
        provider=provider,
        directory=job.run_directory,
        endpoint=name,
        max_attempts=job.limits.max_attempts,
        repair=prepared.repair,
        put=put,
        has_room=store.has_space,
        has_answered=lambda model: model in route.models or _has_completed(store.totals, model),
    )


def _identity(store: Store) -> str:
    identity = store.fact(facts.IDENTITY)
    assert identity, "without it the batches of other runs would be taken for this one's"
    return identity


def _has_completed(totals: Mapping[str, ModelTotals], model: str) -> bool:
    return model in totals and totals[model].completed > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a pool of batches is made of."""

    client: BatchClient
    contact: Contact
    courier: Courier
    planner: Planner
    route: BatchRoute
    closed: ClosedModels
    owner: Owner
    factor: float
    """What a request in a batch costs, as a share of the usual price."""

    @property
    def note(self) -> str:
        """What the user should know about batches before they are sent."""
        most = self.planner.most.requests
        return (
            f"sending in batches of at most {most:,} requests, which are answered within 24 hours; "
            f"the price of a request in a batch is taken to be {self.factor:g} of the usual one, "
            "unless [prices] states a batch_factor"
        )

    def stop_for(self, refusal: Verdict, row: BatchRow) -> Stop:
        """Return why a model is closed when all lines of a batch were refused."""
        assert refusal.kind is not None
        effect = EFFECTS[refusal.kind]
        cure = self.contact.cure_of(refusal.kind, row.model) or _OF_THE_JOB
        message = f"batch {row.id}: {row.model}: {refusal.message}; {cure}"
        return Stop(kind=refusal.kind, message=message, exit_code=effect.run.exit_code or REFUSED)

    def not_taken(self, row: BatchRow, problem: str) -> Stop:
        """Return why a model is closed when the provider takes no batch of it."""
        message = f"batch {row.id} of {row.model} was not taken: {problem}; {_OF_THE_JOB}"
        return Stop(kind="bad_request", message=message, exit_code=REFUSED)


def parts_for(
    prepared: Prepared,
    links: Links,
    put: Callable[[Outcome], None],
    on_event: Callable[[Event], None],
    traffic: Traffic,
) -> Parts:
    """Put the parts together.

    Args:
        prepared: what is sent, and with what.
        links: with the only endpoint.
        put: takes outcomes.
        on_event: takes pauses.
        traffic: takes batches.
    """
    job, store = prepared.job, prepared.store
    [(name, link)] = links.links.items()
    log = store.batches
    known = batch_provider(job.endpoints[name].base_url)
    client = BatchClient(prepared.access[name], job.limits, known)
    provider = Provider(client, link.contact, on_event, next(iter(job.models), ""))
    route = BatchRoute(name, link.limit, provider)
    route.models.update(link.contact.answered)
    closed = ClosedModels(job.models, name, on_event)
    route.closed = closed.stops
    collector = _collector(prepared, name, provider, route, put)
    courier = Courier(
        log=log,
        provider=provider,
        collector=collector,
        directory=job.run_directory,
        identity=lambda: _identity(store),
        say=prepared.progress.say,
    )
    planner = _planner(prepared, name, put, traffic, closed.stops)
    return Parts(
        client=client,
        contact=link.contact,
        courier=courier,
        planner=planner,
        route=route,
        closed=closed,
        owner=Owner(prepared.access[name], store),
        factor=known.factor,
    )
