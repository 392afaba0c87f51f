"""The models that are known, and what an answer costs: token counts and a price in, US dollars out.

The built-in prices are those of W&B Inference, in `prices.toml`, each with its source and date. The prices that a job
sets under `[prices]` replace them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from math import floor, log10
from typing import Any, Protocol

from batchrun.job.sections import Job, Price
from batchrun.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """One model of the catalogue; None where its value is not known."""

    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    context_tokens: int | None = None
    reasoning: bool | None = None
    deprecated_on: date | None = None
    """The day on which the vendor stops or stopped to serve it."""
    source: str
    as_of: date
    """The day on which the catalogue was read."""


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
    """Return the built-in prices by model. Read once per process."""
    catalogue = tomllib.loads(files("batchrun.job").joinpath("prices.toml").read_text(encoding="utf-8"))
    as_of = catalogue["as_of"]
    return {name: ModelPrice(model=name, as_of=as_of, **facts) for name, facts in catalogue["models"].items()}


def price_of(model: str, overrides: Mapping[str, Price], provider: str = "wandb") -> PriceLike | None:
    """Return the price of a model: the job's own, else the catalogue's; None when it is not known.

    Args:
        model: name as sent; a fine-tuned `wandb-artifact:///…` is never in the catalogue.
        overrides: the job's `[prices]`.
        provider: the catalogue has only the prices of `wandb`; other providers price the same open model differently.
    """
    if model in overrides:
        return overrides[model]
    return load_prices().get(model) if provider == "wandb" else None


def cost_usd(usage: Usage, price: PriceLike | None) -> float | None:
    """Return what an answer cost in US dollars; None when the price or a token count is not known.

    (prompt − cached) × input price + cached × cached price + completion × output price, per million. Without a cached
    price, cached tokens cost as much as others. Completion tokens include reasoning, so it is not added again.
    """
    prompt, completion, _, cached, _ = usage
    if price is None or prompt is None or completion is None:
        return None
    usd_per_m = prompt * price.input_usd_per_mtok + completion * price.output_usd_per_mtok
    cached_usd_per_mtok = price.cached_input_usd_per_mtok
    if cached and cached_usd_per_mtok is not None:
        # A server may report more cached tokens than prompt tokens.
        usd_per_m += min(cached, prompt) * (cached_usd_per_mtok - price.input_usd_per_mtok)
    return usd_per_m / 1_000_000


def context_tokens(model: str) -> int | None:
    """Return the most tokens of prompt and answer together; None when the catalogue does not have the model."""
    known = load_prices().get(model)
    return known.context_tokens if known else None


def prices_of(job: Job, models: Mapping[str, Any]) -> dict[str, PriceLike | None]:
    """Return the price of each model; None where it is not known."""
    return {model: price_of(model, job.prices, job.endpoint.provider) for model in models}


def usd_text(usd: float) -> str:
    """Return an estimate of money for people: two digits that say something, and never a small sum as nothing."""
    if usd >= 0.0001:
        return f"{usd:,.0f}" if usd >= 100 else f"{usd:.2f}" if usd >= 1 else f"{usd:.2g}"
    return f"{usd:.{1 - floor(log10(usd))}f}" if usd > 0 else "0"


def spent_text(usd: float) -> str:
    """Return what was spent for people: to a hundredth of a cent, large sums to a cent, tiny ones with two digits."""
    return f"{usd:,.2f}" if usd >= 10 else f"{usd:.4f}" if usd >= 0.001 else usd_text(usd)
