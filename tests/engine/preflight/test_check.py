"""The preflight check of a job."""

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
from batchrun.engine.preflight.outlook import Outlook, ahead_lines, excess
from batchrun.engine.shared_limit import LimitMemory
from batchrun.job.sections import Input, Job, Limits, Model, Output, PromptTemplates
from batchrun.prompts.source import Source

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty working folder, home and cache."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_ENTITY", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def job(rows: int = 10, model: str = LLAMA, **limits: Any) -> Job:
    """Write an input and return a job that reads it."""
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
        assert next(iter(source.batches()))[0].row == 0  # the run itself reads from the first row
        return seen


def test_the_time_is_estimated_from_the_learned_limit() -> None:
    """The limit of this endpoint, project and model, at most the ceiling."""
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


def test_tokens_are_counted_by_the_models_tokenizer_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one makes a token of every character; the estimate would be a fourth of that."""
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


def test_a_model_that_will_be_retired_is_distinguished_from_one_that_has_been() -> None:
    """Today's date decides."""
    ended = job(model="ibm-granite/granite-4.1-8b")
    with Source(ended) as source:
        source.open()
        early = check(ended, source, today=date(2026, 1, 1), on_read=lambda fraction: None)
    assert "will be switched off on 2026-10-05" in early.notes[0]
    assert "was to be switched off on 2026-10-05" in checked(ended).notes[0]


def test_the_fraction_that_was_read_is_reported() -> None:
    """It reaches 1 at the end."""
    asked = job(3_000)
    fractions: list[float | None] = []
    with Source(asked) as source:
        source.open()
        check(asked, source, today=TODAY, on_read=fractions.append)
    assert fractions[-1] == 1.0
    assert len(fractions) > 3


def test_a_run_estimates_from_its_first_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It scales them up by the share of the file that they are."""
    seen = previewed(job(100_000))
    about, number, *_ = seen.lines[0].split(" ")
    count = int(number.replace(",", ""))
    assert about == "about"
    assert count == pytest.approx(100_000, rel=0.1)
    assert count != 100_000


def test_a_run_whose_input_is_truncated_begins() -> None:
    """The rows before the fault are sent; then the error is reported."""
    asked = job(10)
    content = Path("in.jsonl").read_bytes()
    Path("in.jsonl").write_bytes(gzip.compress(content * 20_000)[:-2_000])
    assert previewed(asked).lines == () or previewed(asked).refusal is None


def test_a_limit_on_rows_is_obeyed() -> None:
    """Only that many rows are counted."""
    asked = job(5_000)
    asked = dataclasses.replace(asked, input=dataclasses.replace(asked.input, limit=70))
    assert previewed(asked).lines[0].startswith("70 requests")


def test_a_cap_that_was_agreed_to_is_not_asked_about_again() -> None:
    """The same command that resumes a run is not refused."""
    asked = job(1_000, max_cost_usd=0.0001)
    assert "the cap is 0.0001 USD" in previewed(asked).refusal
    assert previewed(asked, is_begun=True).refusal is None


def test_rows_that_share_a_request_are_counted_once() -> None:
    """With dedupe; no run is refused then, since the first rows do not show how many rows repeat."""
    asked = job(1_000, max_cost_usd=0.0001)
    Path("in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n' * 500)
    assert checked(asked).ahead.requests == 1_000
    asked = dataclasses.replace(asked, input=dataclasses.replace(asked.input, dedupe=True))
    assert checked(asked).ahead.requests == 2
    assert previewed(asked).refusal is None


# The texts of the outlook.


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
def test_a_cap_refuses_only_what_certainly_exceeds_it(
    limits: dict[str, Any], spent: tuple[float, int], words: str | None
) -> None:
    """The low end of the estimate plus what was spent is compared."""
    refusal = excess(job(1, **limits), outlook(Range(0.6, 0.7, 0.9)), Used(Amount(*spent)))
    assert refusal is None if words is None else refusal is not None and words in refusal


def test_a_starting_run_prints_only_what_is_known() -> None:
    """No cost without a price, no time without a limit."""
    assert ahead_lines(outlook()) == ["10 requests, 900 – 1.20k tokens in, 900 – 1.20k out (answers of unknown length)"]
    lines = ahead_lines(dataclasses.replace(outlook(Range(1, 2, 3)), seconds=Range(60, 90, 120), slots=7, answers=3), 5)
    assert lines[1:] == [
        "cost of these  1.00 – 3.00 USD; the cap is 5 USD",
        "time for these 1 min 00 s – 2 min 00 s, with 7 in flight",
    ]


def test_a_model_without_a_price_does_not_refuse_a_run_here() -> None:
    """Simulated runs need no price; for real runs the cap itself is refused elsewhere."""
    assert excess(job(1, max_cost_usd=1), outlook(), NOTHING_USED) is None
