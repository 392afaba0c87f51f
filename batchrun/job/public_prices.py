"""Prices of the providers that genai-prices knows by their URL (extra `prices`). Its data comes with it: no network.

The package has the history of each price. What holds today counts, at the hour of the day at which it is dearest. Where
a long prompt costs more for each of its tokens, the price is that of shorter ones: a total does not show which prompts
were long. A price with a fee for each request is not used, because tokens alone do not tell such a cost.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from importlib.metadata import version
from typing import Any

_FEES = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")
"""What some models cost on top of input and output."""

_TIMES = tuple(time(hour, minute, tzinfo=UTC) for hour in range(24) for minute in (0, 30))
"""Prices by the hour change at half hours. Source: the package's data for DeepSeek."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicPrice:
    """What genai-prices knows of a model."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None
    context_tokens: int | None
    source: str
    as_of: date
    """The day on which it holds, by what the package knows."""


def public_price(base_url: str, model: str) -> PublicPrice | None:
    """Return the price of a model at a provider; None where the package is not installed or does not know it.

    Args:
        base_url: of the endpoint; the provider is known by it.
        model: as it is sent. Google lists its models with "models/" before the name.
    """
    return _price_on(datetime.now(UTC).date(), base_url, model.removeprefix("models/"))


@cache
def _price_on(day: date, base_url: str, model: str) -> PublicPrice | None:
    """Return the price that holds on a day. Loading the package takes about a second and 80 MB, once per process."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        known = calc_price(Usage(), model, provider_api_url=base_url).model
    except LookupError:
        return None
    return _dearest(known, day)


def _dearest(known: Any, day: date) -> PublicPrice | None:
    prices = [known.get_prices(datetime.combine(day, at)) for at in _TIMES]
    price = max(prices, key=lambda each: (_usd(each.output_mtok) or 0, _usd(each.input_mtok) or 0))
    usd = _usd(price.input_mtok)
    if usd is None or any(getattr(price, fee) is not None for fee in _FEES):
        return None
    return PublicPrice(
        input_usd_per_mtok=usd,
        output_usd_per_mtok=_usd(price.output_mtok) or 0.0,  # embeddings have no output
        cached_input_usd_per_mtok=_usd(price.cache_read_mtok),
        context_tokens=known.context_window,
        source=f"genai-prices {version('genai-prices')}",
        as_of=day,
    )


def _usd(price: Any) -> float | None:
    """Return a price as a number; of one with tiers, that of the first."""
    return None if price is None else float(getattr(price, "base", price))
