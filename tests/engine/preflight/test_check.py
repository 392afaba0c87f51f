"""A job looked at before it is sent."""

import dataclasses
import gzip
import json
import sys
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Used
from batchrun.engine.preflight.check import check, preview
from batchrun.engine.preflight.estimate import Forecast, Range
from batchrun.engine.preflight.outlook import Outlook, ahead_lines, excess, range_text, usd_text
from batchrun.engine.shared_limit import LimitMemory
from batchrun.job.sections import Input, Job, Limits, Model, Output, PromptTemplates
from batchrun.prompts.source import Source

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to stand in, and a home and a cache of one's own."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_ENTITY", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def job(rows: int = 10, model: str = LLAMA, **limits: Any) -> Job:
    """Write an input; return a job of it."""
    Path("in.jsonl").write_text("".join(json.dumps({"prompt": f"number {row}"}) + "\n" for row in range(rows)))
    return Job(
        input=Input(path=("in.jsonl",)),
        prompt=PromptTemplates(system="Be brief."),
        model=Model(names=(model,), max_tokens=10),
        limits=Limits(**limits),
        output=Output(dir="out"),
    )


def checked(job: Job) -> Any:
    with Source(job) as source:
        source.open()
        return check(job, source, today=TODAY, on_read=lambda fraction: None)


def previewed(job: Job, *, is_begun: bool = False) -> Any:
    Path("out").mkdir(exist_ok=True)
    with Source(job) as source, Store(Path("out")):
        source.open()
        seen = preview(job, source, known_limit=None, is_begun=is_begun)
        assert next(iter(source.batches()))[0].row == 0  # the run reads it from the beginning
        return seen


def test_a_learned_limit_tells_the_time() -> None:
    """Of the endpoint, project and models; never more than the ceiling."""
    asked = job(1_000)
    assert checked(asked).ahead.seconds is None
    memory = LimitMemory(asked.endpoint.base_url, None, asked.models)
    memory.learn(50)
    memory.close()
    ahead = checked(asked).ahead
    assert (ahead.slots, ahead.requests) == (50, 1_000)
    assert checked(job(1_000, max_concurrency=10)).ahead.slots == 10
    low, likely, high = ahead.seconds
    assert 1_000 / 50 * 0.2 < low < likely < high < 1_000 / 50 * 5


def test_tokens_are_counted_by_the_models_own_tokenizer_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one that makes a token of every character: an estimate would say a fourth of that."""
    estimated = checked(job()).ahead.prompt_tokens
    snapshot = Path("home/huggingface/hub", f"models--{LLAMA.replace('/', '--')}", "snapshots", "a")
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_text("{}")
    characters = SimpleNamespace(encode=lambda text, add_special_tokens: SimpleNamespace(ids=list(text)))
    library = ModuleType("tokenizers")
    library.Tokenizer = SimpleNamespace(from_file=lambda path: characters)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    report = checked(job())
    assert report.counted_by == "tokenizer"
    assert report.ahead.prompt_tokens.likely == pytest.approx(10 * (4 + 9 + 4 + 8))
    assert report.ahead.prompt_tokens.likely > 1.5 * estimated.likely
    assert report.ahead.prompt_tokens.high / report.ahead.prompt_tokens.low < estimated.high / estimated.low


def test_a_model_that_will_end_is_told_apart_from_one_that_has() -> None:
    """By today's date."""
    ended = job(model="ibm-granite/granite-4.1-8b")
    with Source(ended) as source:
        source.open()
        early = check(ended, source, today=date(2026, 1, 1), on_read=lambda fraction: None)
    assert "will be switched off on 2026-10-05" in early.notes[0]
    assert "was to be switched off on 2026-10-05" in checked(ended).notes[0]


def test_how_much_was_read_is_told() -> None:
    """Up to all of it."""
    asked = job(3_000)
    told: list[float | None] = []
    with Source(asked) as source:
        source.open()
        check(asked, source, today=TODAY, on_read=told.append)
    assert told[-1] == 1.0
    assert len(told) > 3


def test_a_run_looks_at_no_more_than_its_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells all from them, by how much of the file they are."""
    seen = previewed(job(100_000))
    about, number, *_ = seen.lines[0].split(" ")
    count = int(number.replace(",", ""))
    assert about == "about"
    assert count == pytest.approx(100_000, rel=0.1)
    assert count != 100_000


def test_a_run_whose_input_breaks_off_begins_all_the_same() -> None:
    """What comes before is sent, and then it is told."""
    asked = job(10)
    content = Path("in.jsonl").read_bytes()
    Path("in.jsonl").write_bytes(gzip.compress(content * 20_000)[:-2_000])
    assert previewed(asked).lines == () or previewed(asked).refusal is None


def test_a_limit_on_rows_is_heeded() -> None:
    """Only so many are sent."""
    asked = job(5_000)
    asked = dataclasses.replace(asked, input=dataclasses.replace(asked.input, limit=70))
    assert previewed(asked).lines[0].startswith("70 requests")


def test_a_cap_that_was_agreed_to_is_not_asked_about_again() -> None:
    """Whoever runs the same again knows it."""
    asked = job(1_000, max_cost_usd=0.0001)
    assert "the cap is 0.0001 USD" in previewed(asked).refusal
    assert previewed(asked, is_begun=True).refusal is None


def test_what_is_asked_once_is_counted_once() -> None:
    """Where prompts are bought once; and no run is refused then, since its first rows cannot tell how many are."""
    asked = job(1_000, max_cost_usd=0.0001)
    Path("in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n' * 500)
    assert checked(asked).ahead.requests == 1_000
    asked = dataclasses.replace(asked, input=dataclasses.replace(asked.input, dedupe=True))
    assert checked(asked).ahead.requests == 2
    assert previewed(asked).refusal is None


# What is ahead, in words.


def outlook(usd: Range | None = None) -> Outlook:
    tokens = Range(900, 1_000, 1_200)
    part = Forecast("m", 10, tokens, tokens, usd, tokens)
    return Outlook(
        requests=10,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        usd=usd,
        seconds=None,
        slots=None,
        answers=0,
        models=[part],
    )


@pytest.mark.parametrize(
    ("limits", "spent", "words"),
    [
        ({"max_cost_usd": 0.5}, (0.0, 0), "will cost 0.6 – 0.9 USD; the cap is 0.5 USD"),
        ({"max_cost_usd": 0.6}, (0.0, 0), None),
        ({"max_cost_usd": 0.6}, (0.1, 0), "will cost 0.6 – 0.9 USD in addition to 0.1 USD spent; the cap"),
        ({"max_tokens_total": 1_799}, (0.0, 0), "will use 1.80k – 2.40k tokens; the cap is 1,799"),
        ({"max_tokens_total": 1_800}, (0.0, 0), None),
        ({"max_tokens_total": 1_800}, (0.0, 1), "in addition to 1 tokens spent; the cap"),
        ({}, (1e9, 10**9), None),
    ],
)
def test_only_what_is_certain_is_above_a_cap(
    limits: dict[str, Any], spent: tuple[float, int], words: str | None
) -> None:
    """The low end of the estimate, together with what was spent."""
    said = excess(job(1, **limits), outlook(Range(0.6, 0.7, 0.9)), Used(Amount(*spent)))
    assert said is None if words is None else said is not None and words in said


def test_what_is_not_known_is_not_told_as_a_run_begins() -> None:
    """Neither money nor time."""
    assert ahead_lines(outlook()) == ["10 requests, 900 – 1.20k tokens in, 900 – 1.20k out (answers of unknown length)"]
    lines = ahead_lines(dataclasses.replace(outlook(Range(1, 2, 3)), seconds=Range(60, 90, 120), slots=7, answers=3), 5)
    assert lines[1:] == [
        "cost of these  1.00 – 3.00 USD; the cap is 5 USD",
        "time for these 1 min 00 s – 2 min 00 s, with 7 in flight",
    ]


def test_no_price_refuses_no_run() -> None:
    """Who simulates need not know it; of others the cap itself is refused."""
    assert excess(job(1, max_cost_usd=1), outlook(), NOTHING_USED) is None


@pytest.mark.parametrize(
    ("usd", "text"), [(1234.5, "1,234"), (12.345, "12.35"), (0.0123, "0.012"), (0.000022, "0.000022"), (0, "0.000000")]
)
def test_money_has_the_digits_that_say_something(usd: float, text: str) -> None:
    """Two of them, or cents."""
    assert usd_text(usd) == text
    assert range_text(Range(usd, usd, usd), usd_text) == text
