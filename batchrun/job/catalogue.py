"""The models that are known, and what an answer costs: token counts and a price in, US dollars out.

The built-in prices are those of W&B Inference, in `prices.toml`, each with its source and date; `public_prices` has
those of other providers. The prices that a job sets under `[prices]` replace both.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from math import floor, log10
from typing import Any, Protocol

from batchrun.job.batch_providers import batch_provider
from batchrun.job.endpoint import BATCH, Endpoint
from batchrun.job.public_prices import public_price
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
    retires_on: date | None = None
    """The first day on which the vendor does not serve it."""
    replaced_by: str | None = None
    """What the vendor recommends in its place."""
    source: str
    as_of: date
    """The day on which the catalogue was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """The end of a model."""

    on: date
    """The first day on which the vendor does not serve it."""
    replaced_by: str | None
    """What the vendor recommends in its place; None where it names no model."""


class PriceLike(Protocol):
    """A price of the catalogue or of the job. US dollars per million tokens."""

    @property
    def input_usd_per_mtok(self) -> float: ...  # noqa: D102  # the name says it
    @property
    def output_usd_per_mtok(self) -> float: ...  # noqa: D102
    @property
    def cached_input_usd_per_mtok(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedPrice:
    """A price with its source: of a request in a batch, or as a run has noted it."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None
    source: str
    as_of: date | None

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "StatedPrice":
        """Return the price that `price_entry` has shown."""
        return cls(**{**entry, "as_of": entry["as_of"] and date.fromisoformat(entry["as_of"])})


_REASONS = re.compile(
    r"\b(r1|qwq|gpt-oss|magistral|nemotron)\b|reflection/beam|(?<!non-)reason|thinking"
    r"|\bdeepseek-v(3\.[1-9]|[4-9])|\bqwen-?(3\.[5-9]|[4-9])|\bglm-(4\.[5-9]|[5-9])|\bkimi-k(2\.[5-9]|[3-9])"
    r"|\bminimax-m[1-9]|\bgemma-[4-9]|\bgranite-(4\.[2-9]|[5-9])|\bqwen3-(?!.*(instruct|coder|embedding))",
    re.IGNORECASE,
)
"""Names of open models that reason: those of the catalogue, and the later versions of their families. OpenAI's own are
left out: it streams some of them only to verified organizations."""


@cache
def _catalogue() -> Mapping[str, Any]:
    return tomllib.loads(files("batchrun.job").joinpath("prices.toml").read_text(encoding="utf-8"))


@cache
def load_prices() -> Mapping[str, ModelPrice]:
    """Return the built-in prices by model. Read once per process."""
    catalogue = _catalogue()
    as_of = catalogue["as_of"]
    return {name: ModelPrice(model=name, as_of=as_of, **facts) for name, facts in catalogue["models"].items()}


def is_reasoning(model: str) -> bool:
    """Return whether a model reasons before it answers, as the catalogue says or its name shows."""
    facts = _facts_of(model)
    return bool(facts.get("reasoning", _REASONS.search(model)))


def retirement_of(model: str, today: date) -> Retirement | None:
    """Return when a model of W&B Inference ends or ended; None while no end is known.

    A replacement that is retired itself is followed to its own.
    """
    facts = _facts_of(model)
    if "retires_on" not in facts:
        return None
    replaced_by = facts.get("replaced_by")
    while replaced_by is not None and (end := _facts_of(replaced_by).get("retires_on")) is not None and end <= today:
        replaced_by = _facts_of(replaced_by).get("replaced_by")
    return Retirement(on=facts["retires_on"], replaced_by=replaced_by)


def retirement_text(model: str, today: date) -> str:
    """Return when a model ends or ended, and what is there in its place; empty while no end is known."""
    found = retirement_of(model, today)
    if found is None:
        return ""
    days = (found.on - today).days
    when = f"will be retired on {found.on}, {'tomorrow' if days == 1 else f'in {days} days'}"
    if days <= 0:
        when = f"was retired on {found.on}"
    return f"{when}; the vendor recommends {found.replaced_by}" if found.replaced_by else when


def _facts_of(model: str) -> Mapping[str, Any]:
    catalogue = _catalogue()
    found: Mapping[str, Any] = catalogue["models"].get(model) or catalogue["retired"].get(model) or {}
    return found


def price_of(endpoint: Endpoint, model: str, stated: Mapping[str, Price]) -> PriceLike | None:
    """Return the price of a model at an endpoint, by the way of sending; None when it is not known.

    The one place where a price is chosen: what the job states, of the endpoint before of all; else the built-in price
    at W&B Inference, else what is known of other providers, who price the same open model differently. A server on
    this machine has no price.

    Args:
        endpoint: that answers.
        model: name in the job, which may be another at the endpoint; a fine-tuned `wandb-artifact:///…` is never in
            the catalogue.
        stated: the job's `[prices]`.
    """
    price = _usual_price(endpoint, model, stated)
    return (
        price
        if price is None or endpoint.via != BATCH
        else _batch_price(price, batch_provider(endpoint.base_url).factor)
    )


def _batch_price(price: PriceLike, usual: float) -> StatedPrice:
    stated: float | None = getattr(price, "batch_factor", None)
    factor = usual if stated is None else stated
    cached = price.cached_input_usd_per_mtok
    return StatedPrice(
        input_usd_per_mtok=factor * price.input_usd_per_mtok,
        output_usd_per_mtok=factor * price.output_usd_per_mtok,
        cached_input_usd_per_mtok=None if cached is None else factor * cached,
        source=f"{getattr(price, 'source', None) or 'the job'}, {factor:g} of it for a batch",
        as_of=getattr(price, "as_of", None),
    )


def _usual_price(endpoint: Endpoint, model: str, stated: Mapping[str, Price]) -> PriceLike | None:
    if price := endpoint.prices.get(model) or stated.get(model):
        return price
    name = (endpoint.models or {}).get(model, model)
    if endpoint.provider == "wandb":
        return load_prices().get(name)
    return None if endpoint.is_loopback else public_price(endpoint.base_url, name)


PRICE_KEYS = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok", "source", "as_of")
"""What is shown of a price."""


def price_entry(price: PriceLike | None) -> dict[str, Any] | None:
    """Return a price as it is shown everywhere, with `source` and `as_of`; one that the job states has no date."""
    if price is None:
        return None
    entry = {key: getattr(price, key, None) for key in PRICE_KEYS}
    return entry | {"source": entry["source"] or "the job", "as_of": entry["as_of"] and entry["as_of"].isoformat()}


def price_text(entry: Mapping[str, Any]) -> str:
    """Return what `price_entry` returned, for people: US dollars per million tokens, the source and the date."""
    usd = zip(("in", "cached", "out"), PRICE_KEYS, strict=False)
    parts = [f"{entry[key]:g} {name}" for name, key in usd if entry[key] is not None]
    origin = ", ".join(filter(None, (entry["source"], entry["as_of"])))
    return f"{', '.join(parts)} ({origin})"


def price_cure(endpoint: Endpoint, model: str) -> str:
    """Return how the price of a model that is not known becomes known."""
    cure = f'add its price under [prices."{model}"] in a job file'
    if endpoint.provider == "wandb" or endpoint.is_loopback or find_spec("genai_prices"):
        return cure
    return f"{cure}, or install what knows those of many providers: pip install genai-prices"


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


def charged(job: Job, model: str) -> tuple[PriceLike, ...]:
    """Return what a model costs at the endpoints that serve it, each price once; empty when one is not known."""
    prices = [price_of(job.endpoints[name], model, job.prices) for name in job.serving(model)]
    known = [price for price in prices if price is not None]
    return tuple(dict.fromkeys(known)) if len(known) == len(prices) else ()


def usd_text(usd: float) -> str:
    """Return an estimate of money for people: two digits that say something, and never a small sum as nothing."""
    if usd >= 0.0001:
        return f"{usd:,.0f}" if usd >= 100 else f"{usd:.2f}" if usd >= 1 else f"{usd:.2g}"
    return f"{usd:.{1 - floor(log10(usd))}f}" if usd > 0 else "0"


def spent_text(usd: float) -> str:
    """Return what was spent for people: to a hundredth of a cent, large sums to a cent, tiny ones with two digits."""
    return f"{usd:,.2f}" if usd >= 10 else f"{usd:.4f}" if usd >= 0.001 else usd_text(usd)


def known_text(usd: float | None, least_usd: float | None) -> str | None:
    """Return a cost for people: as far as it is known where only some models have a price; None where none has.

    Args:
        usd: the cost; None when it is not known.
        least_usd: the cost of the models that have a price; None when none has.
    """
    if usd is not None:
        return f"{spent_text(usd)} USD"
    return f"at least {spent_text(least_usd)} USD" if least_usd else None


def cap_text(usd: float) -> str:
    """Return a cap as it is typed, without an exponent."""
    return f"{usd:.9f}".rstrip("0").rstrip(".")


def used_text(stated: float, set_aside: float, text: Callable[[float], str]) -> str:
    """Return what a run has used, for people: one amount, or two where some answers are not known.

    Args:
        stated: what its answers have stated.
        set_aside: the most that requests have used whose answer broke off, was not recorded, or stated no tokens.
        text: of an amount.
    """
    least, most = text(stated), text(stated + set_aside)
    return least if least == most else f"{least}, up to {most} with requests whose tokens are not known"


def cost_text(stated_usd: float | None, set_aside_usd: float = 0.0) -> str:
    """Return what a run has cost, for people, as `used_text` does it; no price may be known."""
    if stated_usd is None:
        return "no price known"
    return used_text(stated_usd, set_aside_usd, lambda usd: f"{spent_text(usd)} USD")
