"""What an answer costs: token counts and a price in, US dollars out.

The built-in prices are W&B Inference's, in `prices.toml`, each with its source and date. What a job says under
`[prices]` wins over them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from batchrun.job.sections import Job, Price
from batchrun.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """What the catalogue knows of one model; None where it says nothing."""

    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    context_tokens: int | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    deprecated_on: date | None = None
    """The day the vendor stops, or stopped, serving it."""
    source: str
    as_of: date
    """The day the catalogue was read."""


class PriceLike(Protocol):
    """A price of the catalogue or of the job. US dollars per million tokens."""

    @property
    def input_usd_per_mtok(self) -> float: ...  # noqa: D102  # the name says it
    @property
    def output_usd_per_mtok(self) -> float: ...  # noqa: D102
    @property
    def cached_input_usd_per_mtok(self) -> float | None: ...  # noqa: D102


@cache
def load_prices() -> Mapping[str, ModelPrice]:
    """Return the built-in prices by model. Read once a process."""
    catalogue = tomllib.loads(files("batchrun.job").joinpath("prices.toml").read_text(encoding="utf-8"))
    as_of = catalogue["as_of"]
    return {name: ModelPrice(model=name, as_of=as_of, **facts) for name, facts in catalogue["models"].items()}


def price_of(model: str, overrides: Mapping[str, Price], provider: str = "wandb") -> PriceLike | None:
    """Return a model's price: the job's own, else the catalogue's; None when neither knows it.

    Args:
        model: name as sent; a fine-tuned `wandb-artifact:///…` is in no catalogue.
        overrides: the job's `[prices]`.
        provider: the catalogue has the prices of `wandb` alone; the same open model costs something else elsewhere.
    """
    if model in overrides:
        return overrides[model]
    return load_prices().get(model) if provider == "wandb" else None


def cost_usd(usage: Usage, price: PriceLike | None) -> float | None:
    """Return what an answer cost in US dollars; None when the price or a token count is not known.

    (prompt − cached) × input price + cached × cached price + completion × output price, per million. Without a cached
    price cached tokens cost what fresh ones do. Reasoning is among the completion tokens and is not counted again.
    """
    prompt, completion, _, cached, _ = usage
    if price is None or prompt is None or completion is None:
        return None
    usd_per_m = prompt * price.input_usd_per_mtok + completion * price.output_usd_per_mtok
    cached_usd_per_mtok = price.cached_input_usd_per_mtok
    if cached and cached_usd_per_mtok is not None:
        # A server that counts more cached tokens than tokens is not believed.
        usd_per_m += min(cached, prompt) * (cached_usd_per_mtok - price.input_usd_per_mtok)
    return usd_per_m / 1_000_000


def context_tokens(model: str) -> int | None:
    """Return how long prompt and answer of a model may be together; None where the catalogue does not say."""
    known = load_prices().get(model)
    return known.context_tokens if known else None


def prices_of(job: Job, models: Mapping[str, Any]) -> dict[str, PriceLike | None]:
    """Return the price of each model, None where none is known."""
    return {model: price_of(model, job.prices, job.endpoint.provider) for model in models}
