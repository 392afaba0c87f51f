"""What is known about models is shown: next to what the endpoint serves, before anything is sent, and after a 404."""

import re
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts
from harness.stopped_calendar import stop_calendar

from batchrun.cli.model_texts import model_details, model_lines
from batchrun.job.catalogue import load_prices
from batchrun.job.endpoint import BASE_URLS, Endpoint
from batchrun.simulator.settings import MODELS

RETIRED, REPLACEMENT = "moonshotai/Kimi-K2-Instruct", "moonshotai/Kimi-K2.5"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day of the catalogue."""
    stop_calendar(monkeypatch, date(2026, 11, 28))


@pytest.fixture
def wandb(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The simulator, in the place of W&B Inference."""
    monkeypatch.setitem(BASE_URLS, "wandb", endpoint.base_url)
    monkeypatch.setenv("WANDB_API_KEY", "key")
    return endpoint


def test_models_shows_price_window_and_end_next_to_what_is_served(batchrun: Any, wandb: Any) -> None:
    """A model that the catalogue does not have is listed too. JSON has the same, with null for what is not known."""
    wandb.change(models=[MODEL, "moonshotai/Kimi-K2.5", "new/one", "deepseek-ai/DeepSeek-V4-Pro"])
    done = batchrun("models")
    rows = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert rows[MODEL] == [MODEL, "0.22", "–", "0.22", "128,000", "–"]
    assert rows[REPLACEMENT] == [REPLACEMENT, "0.6", "0.1", "3", "262,144", "–"]
    assert rows["new/one"] == ["new/one", "–", "–", "–", "–", "–"]
    assert rows["deepseek-ai/DeepSeek-V4-Pro"][-3:] == ["2026-10-05,", "then", "deepseek-ai/DeepSeek-V4-Pro-0813"]
    assert re.sub(" +", " ", done.stdout.splitlines()[0]) == "model in cached out context end of life"
    assert done.stdout.splitlines()[-1] == (
        "in, cached, out: USD per million tokens, as of 2026-11-28 (wandb.ai, www.coreweave.com); "
        "context in tokens; – not known"
    )
    found = batchrun("models", "--json").json
    assert found["models"] == sorted(found["models"]) == [each["model"] for each in found["details"]]
    assert found["details"][1] == {
        "model": MODEL,
        "input_usd_per_mtok": 0.22,
        "cached_input_usd_per_mtok": None,
        "output_usd_per_mtok": 0.22,
        "source": load_prices()[MODEL].source,
        "as_of": "2026-11-28",
        "context_tokens": 128_000,
        "retires_on": None,
        "replaced_by": None,
    }


def test_models_of_a_server_that_nobody_knows_are_listed_by_name() -> None:
    """Another vendor's prices for the same model are not its own."""
    names, today = [MODEL, "local"], date(2026, 11, 28)
    details = model_details(Endpoint(base_url="http://127.0.0.1:8000/v1"), names, today)
    assert list(model_lines(details)) == names
    assert {value for each in details for value in each.values()} == {None, *names}
    assert list(model_lines(model_details(Endpoint(), ["new/one"], today))) == ["new/one"]


def test_models_of_another_provider_have_its_prices() -> None:
    """With what they are from, and the day for which they were looked up."""
    endpoint = Endpoint(base_url="https://generativelanguage.googleapis.com/v1beta/openai")
    details = model_details(endpoint, ["models/gemini-2.5-flash", "models/unheard-of"], date(2026, 11, 28))
    known, unknown = details
    assert 0 < known["cached_input_usd_per_mtok"] < known["input_usd_per_mtok"] < known["output_usd_per_mtok"]
    assert known["source"] == f"genai-prices {version('genai-prices')}"
    assert {*unknown.values()} == {None, "models/unheard-of"}
    last = list(model_lines(details))[-1]
    assert f"as of {known['as_of']} ({known['source']});" in last


def test_a_retired_model_is_named_before_anything_is_sent_and_when_it_is_not_found(batchrun: Any, wandb: Any) -> None:
    """With its date, and what the vendor recommends in its place."""
    done = batchrun("run", write_prompts("a"), "-m", RETIRED, "-o", "out")
    assert done.code == 4
    ended = f"was retired on 2026-03-04; the vendor recommends {REPLACEMENT}"
    note, message = f"note: {RETIRED}: {ended}", f"{RETIRED}: model not found; it {ended}; `batchrun models` lists"
    assert note in done.stderr
    assert message in done.stderr.partition(note)[2]
    assert wandb.stats.answered == 0
    probed = batchrun("check", "in.jsonl", "-m", RETIRED, "--probe")
    assert f"it {ended}" in probed.stdout


def test_the_simulator_serves_what_wandb_serves(endpoint: Any) -> None:
    """On the day of the catalogue: every model that is not retired, and no other."""
    prices = load_prices()
    today = max(price.as_of for price in prices.values())
    assert set(MODELS) == {name for name, each in prices.items() if each.retires_on is None or each.retires_on > today}


PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "jobs").glob("*.toml"),
    ROOT / "batchrun/cli/run.py",
]
ELSEWHERE = {"Qwen/Qwen3-0.6B", "meta-llama/Llama-3.1-8B", "openai/mocked", "openai/v1"}
"""Models of the examples for other servers; the last is a part of a URL."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_model_of_docs_and_jobs_is_served(page: Path) -> None:
    """By W&B Inference on the day of the catalogue, and so by the simulator."""
    owners = sorted({name.partition("/")[0] for name in load_prices()} | {"microsoft", "mistralai"})
    named = set(re.findall(rf"\b(?:{'|'.join(owners)})/[\w.-]*\w", page.read_text()))
    assert named - ELSEWHERE <= set(MODELS)
