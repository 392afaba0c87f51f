"""Prices and costs."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.job import catalogue
from batchrun.job.catalogue import (
    cap_text,
    charged,
    cost_text,
    cost_usd,
    is_reasoning,
    load_prices,
    price_cure,
    price_entry,
    price_of,
    price_text,
    retirement_text,
    spent_text,
    usd_text,
)
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model, Price
from batchrun.records import Usage

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
TODAY = date(2026, 11, 28)
PLAIN = Price(input_usd_per_mtok=2, output_usd_per_mtok=10)
CACHED = Price(input_usd_per_mtok=2, output_usd_per_mtok=10, cached_input_usd_per_mtok=0.5)


@pytest.mark.parametrize(
    ("usage", "price", "usd"),
    [
        (Usage(1_000_000, 0, 1_000_000), PLAIN, 2),
        (Usage(0, 1_000_000, 1_000_000), PLAIN, 10),
        (Usage(500_000, 100_000, 600_000), PLAIN, 2),
        (Usage(1_000_000, 0, None, 400_000), PLAIN, 2),
        (Usage(1_000_000, 0, None, 400_000), CACHED, 0.6 * 2 + 0.4 * 0.5),
        (Usage(1_000_000, 0, None, 0), CACHED, 2),
        (Usage(1_000_000, 0, None, 9_000_000), CACHED, 0.5),
        (Usage(0, 1_000_000, None, None, 900_000), PLAIN, 10),
        (Usage(0, 0), PLAIN, 0),
        (Usage(None, 5), PLAIN, None),
        (Usage(5, None), PLAIN, None),
        (Usage(), PLAIN, None),
        (Usage(5, 5), None, None),
    ],
)
def test_an_answer_costs_its_tokens_at_their_prices(usage: Usage, price: Price | None, usd: float | None) -> None:
    """Cached tokens cost their own price, reasoning is not counted twice, and an unknown count is not guessed."""
    assert cost_usd(usage, price) == (None if usd is None else pytest.approx(usd))


COUNTS = st.integers(0, 2**31 - 1)


@given(COUNTS, COUNTS, COUNTS)
def test_a_cost_is_never_negative(prompt: int, completion: int, cached: int) -> None:
    """No token count, however odd, earns money."""
    cost = cost_usd(Usage(prompt, completion, None, cached), CACHED)
    assert cost is not None
    assert cost >= 0


def test_every_built_in_price_has_source_and_date() -> None:
    """A price that nobody can check is not shipped."""
    prices = load_prices()
    assert len(prices) == 34
    for name, price in prices.items():
        assert price.model == name
        assert price.source.startswith("https://")
        assert price.as_of == date(2026, 11, 28)
        assert price.input_usd_per_mtok > 0
        assert price.output_usd_per_mtok > 0
        assert price.cached_input_usd_per_mtok is None or price.cached_input_usd_per_mtok < price.input_usd_per_mtok
        assert price.context_tokens is not None
        assert price.context_tokens > 1000


def test_a_model_of_the_catalogue_has_its_price() -> None:
    """The built-in list has the models that W&B Inference serves, and those that it has retired."""
    price = price_of(Endpoint(), LLAMA, {})
    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok, price.cached_input_usd_per_mtok) == (0.22, 0.22, None)
    assert load_prices()["ibm-granite/granite-4.1-8b"].retires_on == date(2026, 10, 5)


@pytest.mark.parametrize(
    ("model", "today", "text"),
    [
        (LLAMA, TODAY, ""),
        ("gpt-9", TODAY, ""),
        ("deepseek-ai/DeepSeek-R1-0528", TODAY, "was retired on 2026-03-04"),
        ("moonshotai/Kimi-K2-Instruct", TODAY, "was retired on 2026-03-04; the vendor recommends moonshotai/Kimi-K2.5"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", TODAY, "was retired on 2026-04-21"),
        (
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            date(2026, 5, 1),
            "was retired on 2026-04-21; the vendor recommends Qwen/Qwen3.5-35B-A3B",
        ),
        ("microsoft/Phi-4-mini-instruct", date(2026, 7, 20), "was retired on 2026-07-20"),
        ("microsoft/Phi-4-mini-instruct", date(2026, 7, 19), "will be retired on 2026-07-20, tomorrow"),
        (
            "deepseek-ai/DeepSeek-V4-Pro",
            date(2026, 9, 5),
            "will be retired on 2026-10-05, in 30 days; the vendor recommends deepseek-ai/DeepSeek-V4-Pro-0813",
        ),
    ],
)
def test_a_retired_model_has_its_date_and_a_replacement_that_is_still_served(
    model: str, today: date, text: str
) -> None:
    """A replacement that was retired too helps nobody."""
    assert retirement_text(model, today) == text


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("openai/gpt-oss-20b", True),
        ("deepseek-ai/DeepSeek-R1-0528", True),
        ("zai-org/GLM-4.5", True),
        ("deepseek-ai/DeepSeek-V3-0324", False),
        ("moonshotai/Kimi-K2-Instruct", False),
        (LLAMA, False),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", False),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", True),
        ("Qwen/Qwen3-8B", True),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", False),
        ("Qwen/Qwen4-30B", True),
        ("deepseek/deepseek-r1-distill-llama-70b", True),
        ("deepseek-reasoner", True),
        ("deepseek-ai/DeepSeek-V5", True),
        ("zai-org/GLM-6", True),
        ("moonshotai/Kimi-K3", True),
        ("google/gemma-5-9b-it", True),
        ("google/gemma-3-27b-it", False),
        ("microsoft/Phi-4-mini-reasoning", True),
        ("x-ai/grok-4-fast-non-reasoning", False),
        ("gpt-4.1-mini", False),
        ("o4-mini", False),
        ("gpt-5", False),
        ("wandb-artifact:///team/project/lora:v1", False),
    ],
)
def test_a_reasoning_model_is_known_by_the_catalogue_or_by_its_name(model: str, reasons: bool) -> None:
    """Retired ones and new versions of known families too; OpenAI streams its own only to verified organizations."""
    assert is_reasoning(model) is reasons


def test_every_reasoning_model_of_the_catalogue_has_such_a_name() -> None:
    """So that the next version of its family is recognised before the catalogue has it."""
    known = [name for name, price in load_prices().items() if price.reasoning]
    assert [name for name in known if not is_reasoning(f"{name}-next")] == []


def test_the_jobs_own_price_wins() -> None:
    """Prices change, and the user knows better."""
    tuned = "wandb-artifact:///team/project/lora:v1"
    assert price_of(Endpoint(), LLAMA, {LLAMA: PLAIN}) is PLAIN
    assert price_of(Endpoint(), tuned, {tuned: PLAIN}) is PLAIN
    assert price_of(Endpoint(provider="openai"), "gpt-4.1-mini", {"gpt-4.1-mini": PLAIN}) is PLAIN


def test_a_price_of_the_endpoint_wins_and_a_model_has_the_price_of_its_name_there() -> None:
    """The same model may cost another price at each endpoint of a job."""
    endpoint = Endpoint(provider="openai", models={"small": "gpt-4.1-mini", "own": "own"}, prices={"own": CACHED})
    assert price_of(endpoint, "own", {"own": PLAIN}) is CACHED
    assert price_of(endpoint, "small", {"gpt-4.1-mini": PLAIN}) == price_of(endpoint, "gpt-4.1-mini", {})
    assert price_of(endpoint, "small", {"small": PLAIN}) is PLAIN


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        (Endpoint(), "wandb-artifact:///team/project/lora:v1"),
        (Endpoint(), "gpt-4.1-mini"),
        (Endpoint(provider="openai"), LLAMA),
        (Endpoint(provider="openai"), "gpt-99"),
        (Endpoint(base_url="https://llm.example/v1"), LLAMA),
        (Endpoint(base_url="http://127.0.0.1:8000/v1"), "gpt-4.1-mini"),
    ],
)
def test_a_price_that_is_not_known_is_not_guessed(endpoint: Endpoint, model: str) -> None:
    """Fine-tuned models, strange ones, another vendor's model, and the servers that nobody knows."""
    assert price_of(endpoint, model, {}) is None


def test_a_price_is_shown_with_its_source_and_its_date() -> None:
    """One that the job states is the job's."""
    entry = price_entry(price_of(Endpoint(), LLAMA, {}))
    assert entry is not None
    assert price_text(entry) == f"0.22 in, 0.22 out ({load_prices()[LLAMA].source}, 2026-11-28)"
    stated = price_entry(CACHED)
    assert stated is not None
    assert price_text(stated) == "2 in, 0.5 cached, 10 out (the job)"
    assert price_entry(None) is None


@pytest.mark.parametrize(
    ("endpoint", "is_installed", "has_hint"),
    [
        (Endpoint(base_url="https://llm.example/v1"), False, True),
        (Endpoint(base_url="https://llm.example/v1"), True, False),
        (Endpoint(base_url="http://127.0.0.1:8000/v1"), False, False),
        (Endpoint(), False, False),
    ],
)
def test_the_package_with_the_prices_of_others_is_named_where_it_could_help(
    endpoint: Endpoint, is_installed: bool, has_hint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a server of one's own, nor where it is installed and does not know the model."""
    monkeypatch.setattr(catalogue, "find_spec", lambda name: "found" if is_installed else None)
    cure = price_cure(endpoint, "m")
    assert cure.startswith('add its price under [prices."m"] in a job file')
    assert ("pip install genai-prices" in cure) == has_hint


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (1234.5, "1,234"),
        (12.345, "12.35"),
        (0.0123, "0.012"),
        (0.000022, "0.000022"),
        (0.00000304, "0.0000030"),
        (0, "0"),
    ],
)
def test_money_has_its_significant_digits(usd: float, text: str) -> None:
    """A small sum is not shown as none."""
    assert usd_text(usd) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(1234.567, "1,234.57"), (1.5, "1.5000"), (0.0123, "0.0123"), (0.00003, "0.000030"), (0.0, "0")],
)
def test_what_was_spent_is_never_shown_as_nothing(usd: float, text: str) -> None:
    assert spent_text(usd) == text


@pytest.mark.parametrize(
    ("usd", "set_aside_usd", "text"),
    [
        (None, 1.0, "no price known"),
        (0.039, 0.0, "0.0390 USD"),
        (0.039, 0.015, "0.0390 USD, up to 0.0540 USD with requests whose tokens are not known"),
        (5.0, 0.00001, "5.0000 USD"),
    ],
)
def test_a_cost_is_one_amount_or_a_range(usd: float | None, set_aside_usd: float, text: str) -> None:
    """What answers may have cost that broke off is in no other place."""
    assert cost_text(usd, set_aside_usd) == text


@pytest.mark.parametrize(("usd", "text"), [(0.00001, "0.00001"), (0.5, "0.5"), (20.0, "20"), (1e7, "10000000")])
def test_a_cap_is_shown_as_it_is_typed(usd: float, text: str) -> None:
    assert cap_text(usd) == text


def test_a_model_may_have_several_prices_and_has_none_where_one_is_not_known() -> None:
    """Any of the endpoints that serve it may answer."""

    def job(*prices: Price | None) -> Job:
        urls = [f"https://host-{number}.example/v1" for number in range(len(prices))]
        endpoints = {
            f"e{number}": Endpoint(base_url=url, prices={} if price is None else {"m": price})
            for number, (url, price) in enumerate(zip(urls, prices, strict=True))
        }
        return Job(input=Input(path="in.jsonl"), model=Model(name="m"), endpoints=endpoints)

    assert charged(job(PLAIN, CACHED, PLAIN), "m") == (PLAIN, CACHED)
    assert charged(job(PLAIN, None), "m") == ()
    assert charged(Job(input=Input(path="in.jsonl"), model=Model(name=LLAMA)), LLAMA) == (load_prices()[LLAMA],)
