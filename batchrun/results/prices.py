"""What the answers of a run are charged: by the endpoint and by the model that answered. The only place that knows.

What a job states of an endpoint that it has counts for all answers from there: an edit corrects the price. An endpoint
that the job no longer has, under this name or at all, was paid what was known of it when it had answered. So before a
run notes another job, it notes what each part of its totals has cost by the one before (`facts.PRICES`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Known
from batchrun.job.catalogue import PriceLike, StatedPrice, price_entry, price_of
from batchrun.job.endpoint import BATCH, REQUESTS
from batchrun.job.sections import Job
from batchrun.job.serialization import UnknownSettingError, job_from_dict
from batchrun.records import BY_BATCH, Parts, named_endpoint
from batchrun.results.meanings import NO_MEANINGS, Meanings, is_now, meanings_of

PriceOf = Callable[[str, str], PriceLike | None]
"""Returns the price of a model at an endpoint, both by their names in the job; None when it is not known."""


Paid = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By endpoint and model, both as a source has them, the entry of a price."""

NOTHING_PAID: Paid = {}


def prices_in(recorded: Known, job: Job | None) -> PriceOf:
    """Return the prices of a job, and those at which a run has paid endpoints that the job does not have.

    Args:
        recorded: facts of the run directory.
        job: that is to be run, or that was run last; None where it is lost.
    """
    before = recorded_job(recorded)
    paid = recorded.fact(facts.PRICES) or NOTHING_PAID
    return prices_at(job, None if before == job else before, paid, meanings_of(recorded))


def prices_at(
    job: Job | None, before: Job | None = None, paid: Paid = NOTHING_PAID, meanings: Meanings = NO_MEANINGS
) -> PriceOf:
    """Return the prices of a job, and of what was answered before it was the job.

    What was answered while an endpoint had no name yet, and nobody noted its price, costs what all endpoints of the
    model ask, if they ask the same.

    Args:
        job: None where it is lost.
        before: that was run before this one, and whose prices are not in `paid` yet.
        paid: what was noted of prices until then.
        meanings: what the names of endpoints stand for.
    """
    known: dict[tuple[str, str], PriceLike | None] = {}

    def price(endpoint: str, model: str) -> PriceLike | None:
        if (endpoint, model) not in known:
            found = _charged(job, meanings, endpoint, model)
            if job is None or not _is_asked(job, meanings, endpoint, model):
                found = found or _paid(before, paid, meanings, endpoint, model) or _guess(job, endpoint, model)
            known[endpoint, model] = found
        return known[endpoint, model]

    return price


def paid_until_now(recorded: Known, parts: Parts) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the prices of all that was answered until now, as `facts.PRICES` keeps them.

    Args:
        recorded: facts of the run directory, with the job as it was run last.
        parts: the totals.
    """
    before, noted = recorded_job(recorded), recorded.fact(facts.PRICES) or NOTHING_PAID
    meanings = meanings_of(recorded)
    paid = {endpoint: {model: dict(entry) for model, entry in entries.items()} for endpoint, entries in noted.items()}
    for source in parts:
        price = _paid(before, noted, meanings, source.endpoint, source.answering_model)
        if source.model and (entry := price_entry(price)) is not None:
            paid.setdefault(source.endpoint, {})[source.answering_model] = entry
    return paid


def recorded_job(recorded: Known) -> Job | None:
    """Return the job as it was run last; None where it was not recorded or cannot be read."""
    job = recorded.fact(facts.JOB)
    if job is None:
        return None
    try:
        return job_from_dict(job)
    except (UnknownSettingError, KeyError, TypeError, AttributeError):
        return None


def has_price(job: Job, model: str) -> bool:
    """Return whether a model has a price at each of its endpoints."""
    price = prices_at(job)
    return all(price(endpoint, model) is not None for endpoint in job.serving(model))


def price_entries(
    job: Job, models: Iterable[str], parts: Parts, prices: PriceOf, meanings: Meanings = NO_MEANINGS
) -> list[dict[str, Any]]:
    """Return the prices that are known as entries of run.json; with the endpoint where there are several.

    Args:
        job: of the run.
        models: whose prices at its endpoints are shown.
        parts: the totals: the prices of endpoints that it no longer has are shown too, where these have answered.
        prices: of each model at each endpoint.
        meanings: what the names of endpoints stand for.
    """
    now = prices_at(job)
    ways = {name: BY_BATCH if endpoint.via == BATCH else "" for name, endpoint in job.endpoints.items()}
    places = [(model, name, name + ways[name]) for model in models for name in job.serving(model)]
    gone = [
        (source.answering_model, named_endpoint(source.endpoint), source.endpoint)
        for source, totals in parts.items()
        if totals.attempts and not is_now(meanings, source.endpoint, job)
    ]
    known = [*((*each, now) for each in places), *((*each, prices) for each in dict.fromkeys(gone))]
    return [
        {"model": model, **({"endpoint": name} if name else {}), **entry}
        for model, name, endpoint, price in known
        if (entry := price_entry(price(endpoint, model))) is not None
    ]


def _charged(job: Job | None, meanings: Meanings, endpoint: str, model: str) -> PriceLike | None:
    """Return what an endpoint of a job asks; None where the job does not have it, or no price is known."""
    name, via = named_endpoint(endpoint), BATCH if endpoint.endswith(BY_BATCH) else REQUESTS
    if job is None or not is_now(meanings, endpoint, job):
        return None
    return price_of(job.endpoints[name].sent_via(via), model, job.prices)


def _paid(before: Job | None, paid: Paid, meanings: Meanings, endpoint: str, model: str) -> PriceLike | None:
    """Return what an endpoint was paid by the job before, or by those before that."""
    if (price := _charged(before, meanings, endpoint, model)) is not None:
        return price
    entry = paid.get(endpoint, {}).get(model)
    return None if entry is None else StatedPrice.of_entry(entry)


def _is_asked(job: Job, meanings: Meanings, endpoint: str, model: str) -> bool:
    """Return whether a job asks a model of an endpoint: then a price that it no longer states is not known."""
    is_served = model in job.asked_models and named_endpoint(endpoint) in job.serving(model)
    return is_served and is_now(meanings, endpoint, job)


def _guess(job: Job | None, endpoint: str, model: str) -> PriceLike | None:
    if job is None or named_endpoint(endpoint) in job.endpoints:
        return None
    way = BY_BATCH if endpoint.endswith(BY_BATCH) else ""
    prices = [_charged(job, NO_MEANINGS, name + way, model) for name in job.serving(model)]
    return prices[0] if prices and all(price == prices[0] for price in prices) else job.prices.get(model)
