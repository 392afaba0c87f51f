"""Prices of other providers: what genai-prices knows, as far as an answer's tokens tell its cost."""

import socket
import subprocess
import sys
from datetime import date, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices import types

from batchrun.job import public_prices
from batchrun.job.catalogue import cost_usd, price_of
from batchrun.job.endpoint import Endpoint
from batchrun.job.public_prices import public_price
from batchrun.records import Usage

OPENAI = "https://api.openai.com/v1"
DAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        (OPENAI, "gpt-4.1-mini"),
        (OPENAI, "gpt-4.1-mini-2025-04-14"),
        ("https://api.anthropic.com/v1", "claude-haiku-4-5"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "models/gemini-2.5-flash"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4.1"),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("https://team.openai.azure.com/openai/v1", "gpt-4.1"),
    ],
)
def test_a_provider_is_known_by_its_url(base_url: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of any network: the data comes with the package."""
    public_prices._price_on.cache_clear()
    monkeypatch.setattr(socket, "getaddrinfo", None)
    price = price_of(Endpoint(base_url=base_url), model, {})
    assert price is not None
    assert 0 < price.input_usd_per_mtok < price.output_usd_per_mtok
    assert price.cached_input_usd_per_mtok is None or price.cached_input_usd_per_mtok < price.input_usd_per_mtok


def test_a_price_of_the_package_costs_what_the_package_says() -> None:
    """Tokens of prompt, cache and answer."""
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    price = public_price(OPENAI, "gpt-4.1-mini")
    assert price is not None
    assert price.source == f"genai-prices {version('genai-prices')}"
    counted = Counted(input_tokens=2_000, cache_read_tokens=500, output_tokens=300)
    known = calc_price(counted, "gpt-4.1-mini", provider_api_url=OPENAI).total_price
    assert cost_usd(Usage(2_000, 300, 2_300, 500), price) == pytest.approx(float(known))


def test_embeddings_cost_their_input() -> None:
    price = public_price(OPENAI, "text-embedding-3-small")
    assert price is not None
    assert price.input_usd_per_mtok > price.output_usd_per_mtok == 0


def model(*prices: types.ConditionalPrice) -> types.ModelInfo:
    return types.ModelInfo(id="m", match=types.ClauseEquals(equals="m"), prices=list(prices), context_window=1_000)


def usd(**prices: Any) -> types.ModelPrice:
    return types.ModelPrice(**{f"{name}_mtok": Decimal(value) for name, value in prices.items()})


def test_the_price_of_today_counts_and_of_its_hours_the_dearest() -> None:
    """A run must not cost more than was announced because it runs at another hour."""
    begins = types.StartDateConstraint(start_date=DAY)
    night = types.TimeOfDateConstraint(start_time=time(23, 30), end_time=time(0, 30))
    known = model(
        types.ConditionalPrice(prices=usd(input=1, output=2)),
        types.ConditionalPrice(constraint=begins, prices=usd(input=3, output=4, cache_read=1)),
        types.ConditionalPrice(constraint=night, prices=usd(input=5, output=6)),
    )
    dearest = public_prices._dearest(known, DAY)
    assert dearest is not None
    assert (dearest.input_usd_per_mtok, dearest.output_usd_per_mtok, dearest.as_of) == (5, 6, DAY)
    known.prices = known.prices[:2] if isinstance(known.prices, list) else known.prices
    for day, expected in ((DAY, (3, 4, 1)), (date(2026, 11, 28), (1, 2, None))):
        price = public_prices._dearest(known, day)
        assert price is not None
        assert (price.input_usd_per_mtok, price.output_usd_per_mtok, price.cached_input_usd_per_mtok) == expected


def test_of_a_price_with_tiers_the_first_counts() -> None:
    """What longer prompts cost does not follow from totals; the documentation says so."""
    tiers = types.TieredPrices(base=Decimal(1), tiers=[types.Tier(start=200_000, price=Decimal(2))])
    price = public_prices._dearest(
        model(types.ConditionalPrice(prices=types.ModelPrice(input_mtok=tiers, output_mtok=tiers))), DAY
    )
    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (1, 1)


@pytest.mark.parametrize("prices", [{}, {"output": 1}, {"input": 1, "output": 1, "output_reasoning": 3}])
def test_a_price_that_tokens_do_not_tell_is_not_known(prices: dict[str, Any]) -> None:
    """Minutes of sound, free models, a fee for each request, reasoning at a price of its own."""
    assert public_prices._dearest(model(types.ConditionalPrice(prices=usd(**prices))), DAY) is None
    assert public_price("https://api.perplexity.ai", "sonar") is None


@pytest.mark.parametrize(
    ("base_url", "name"), [("http://127.0.0.1:8000/v1", "gpt-4.1"), (None, "meta-llama/Llama-3.1-8B-Instruct")]
)
def test_the_package_is_not_loaded_where_it_is_not_needed(base_url: str | None, name: str) -> None:
    """It takes a second and 80 MB: not for W&B Inference, nor for a server on this machine."""
    script = (
        "import sys; from batchrun.job.catalogue import price_of; from batchrun.job.endpoint import Endpoint;"
        f"price_of(Endpoint(base_url={base_url or ''!r}), {name!r}, {{}}); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_package_other_providers_have_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    public_prices._price_on.cache_clear()
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert public_price(OPENAI, "gpt-4.1-mini") is None
    public_prices._price_on.cache_clear()
