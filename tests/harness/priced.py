"""Prices for tests."""

from batchrun.job.catalogue import PriceLike
from batchrun.results.prices import PriceOf


def priced(**prices: PriceLike | None) -> PriceOf:
    """Return the prices of models, the same at each endpoint."""
    return lambda endpoint, model: prices.get(model)
