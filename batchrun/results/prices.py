"""What the answers of a run are charged: by the endpoint and by the model that answered."""

from collections.abc import Callable, Iterable
from typing import Any

from batchrun.job.catalogue import PriceLike, price_entry, price_of
from batchrun.job.endpoint import BATCH, REQUESTS
from batchrun.job.sections import Job
from batchrun.records import BY_BATCH, named_endpoint

PriceOf = Callable[[str, str], PriceLike | None]
"""Returns the price of a model at an endpoint, both by their names in the job; None when it is not known."""


def prices_at(job: Job | None) -> PriceOf:
    """Return the prices of a job; none is known where the job is lost.

    What was answered while an endpoint had no name yet costs what all endpoints of the model ask, if they ask the same.
    """
    known: dict[tuple[str, str], PriceLike | None] = {}

    def price(endpoint: str, model: str) -> PriceLike | None:
        if (endpoint, model) not in known:
            known[endpoint, model] = None if job is None else _price(job, endpoint, model)
        return known[endpoint, model]

    return price


def has_price(job: Job, model: str) -> bool:
    """Return whether a model has a price at each of its endpoints."""
    price = prices_at(job)
    return all(price(endpoint, model) is not None for endpoint in job.serving(model))


def price_entries(job: Job, models: Iterable[str]) -> list[dict[str, Any]]:
    """Return the prices that are known of models as entries of run.json; with the endpoint where there are several."""
    price = prices_at(job)
    places = [(model, endpoint) for model in models for endpoint in job.serving(model)]
    ways = {name: BY_BATCH if endpoint.via == BATCH else "" for name, endpoint in job.endpoints.items()}
    return [
        {"model": model, **({"endpoint": endpoint} if endpoint else {}), **entry}
        for model, endpoint in places
        if (entry := price_entry(price(endpoint + ways[endpoint], model))) is not None
    ]


def _price(job: Job, endpoint: str, model: str) -> PriceLike | None:
    name, via = named_endpoint(endpoint), BATCH if endpoint.endswith(BY_BATCH) else REQUESTS
    if name in job.endpoints:
        return price_of(job.endpoints[name].sent_via(via), model, job.prices)
    prices = [_price(job, name + endpoint.removeprefix(named_endpoint(endpoint)), model) for name in job.serving(model)]
    return prices[0] if prices and all(price == prices[0] for price in prices) else job.prices.get(model)
