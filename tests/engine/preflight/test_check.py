"""The preflight check of a job."""

import dataclasses
import json
import sys
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from batchrun.engine.preflight.check import check
from batchrun.engine.shared_limit import LimitMemory
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Limits, Model, Output
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
    assert "will be retired on 2026-10-05, in 277 days (`batchrun models` lists" in early.notes[0]
    assert "was retired on 2026-10-05 (`batchrun models` lists" in checked(ended).notes[0]


def test_the_fraction_that_was_read_is_reported() -> None:
    """It reaches 1 at the end."""
    asked = job(3_000)
    fractions: list[float | None] = []
    with Source(asked) as source:
        source.open()
        check(asked, source, today=TODAY, on_read=fractions.append)
    assert fractions[-1] == 1.0
    assert len(fractions) > 3


def test_rows_that_share_a_request_are_counted_once() -> None:
    """With dedupe: the number is that of the requests, for each model."""
    asked = job(1_000)
    Path("in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n' * 500)
    assert checked(asked).ahead.requests == 1_000
    asked = dataclasses.replace(asked, input=dataclasses.replace(asked.input, dedupe=True))
    assert checked(asked).ahead.requests == 2
    asked = dataclasses.replace(asked, model=Model(names=(LLAMA, "other"), max_tokens=10))
    assert [each.requests for each in checked(asked).ahead.models] == [2, 2]
