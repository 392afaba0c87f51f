"""The ranges that a run prints before it sends, and that `check` prints, contain what the server's books say then."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness.prompts import write_prompts

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
USD_PER_TOKEN = 1e-5
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6}


class Span(NamedTuple):
    low: float
    high: float

    def has(self, truth: float) -> bool:
        return self.low <= truth * 1.005 and truth * 0.995 <= self.high  # printed with three figures


class Estimate(NamedTuple):
    tokens_in: Span
    usd: Span
    is_about: bool


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the rows that are always read be a third of an input of 768, as if it had thousands."""
    monkeypatch.setattr("batchrun.engine.preflight.preview._SAMPLE_ROWS", 256)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine the time to read a small input whole before the estimate is printed."""
    monkeypatch.setattr("batchrun.engine.preflight.preview._SAMPLE_S", 30.0)
    monkeypatch.setattr("batchrun.engine.preflight.preview._SEEK_S", 30.0)
    monkeypatch.setattr("batchrun.engine.row_counter._QUICK_S", 30.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no input read whole: as one that takes too long."""
    monkeypatch.setattr("batchrun.engine.preflight.preview._WHOLE_S", 0.0)


def job(endpoint: Any, path: str = "in.jsonl") -> str:
    """Write a job with a price; return its path."""
    Path("job.toml").write_text(
        f'[input]\npath = "{path}"\n[model]\nname = "{MODEL}"\nmax_tokens = 30\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "out"\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 10\noutput_usd_per_mtok = 10\n'
    )
    return "job.toml"


def number(text: str) -> float:
    return float(text.rstrip("kM").replace(",", "")) * _UNITS[text[-1] if text[-1] in "kM" else ""]


def span(found: str) -> Span:
    ends = [number(end) for end in found.split(" – ")]
    return Span(ends[0], ends[-1])


def printed(stderr: str) -> Estimate:
    """Return what a run has printed of the requests ahead."""
    tokens = re.search(r", (about )?([\d.,kM –]+) tokens in, ", stderr)
    usd = re.search(r"cost of these  (about )?([\d., –]+) USD", stderr)
    assert tokens is not None
    assert usd is not None
    assert tokens[1] == usd[1]
    return Estimate(span(tokens[2]), span(usd[2].strip()), tokens[1] is not None)


def checked(batchrun: Any) -> Estimate:
    """Return what `check` says of the same requests."""
    ahead = json.loads(batchrun("check", "job.toml", "--json").stdout)["ahead"]
    tokens, usd = ahead["prompt_tokens"], ahead["usd"]
    return Estimate(Span(tokens["low"], tokens["high"]), Span(usd["low"], usd["high"]), False)


def finished(batchrun: Any, endpoint: Any) -> tuple[Estimate, Estimate]:
    """Check a job and run it to its end: both estimates contain the truth. Return both."""
    check, stats = checked(batchrun), endpoint.stats
    tokens_in, tokens_out = stats.prompt_tokens, stats.completion_tokens
    run = printed(batchrun("run", "job.toml").stderr)
    tokens_in, tokens_out = stats.prompt_tokens - tokens_in, stats.completion_tokens - tokens_out
    for estimate in (check, run):
        assert estimate.tokens_in.has(tokens_in), (estimate, tokens_in)
        assert estimate.usd.has((tokens_in + tokens_out) * USD_PER_TOKEN), (estimate, tokens_in, tokens_out)
    return check, run


def by_length(rows: int) -> list[str]:
    return ["word " * (1 + row * 300 // rows) for row in range(rows)]


def steps(rows: int) -> list[str]:
    return [f"What is {row} and {row}?" + " Explain it." * (12 * (row > rows // 2)) for row in range(rows)]


def short(rows: int) -> list[str]:
    return [f"{row}" for row in range(rows)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("limit", [None, 512, 640])
@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("prompts", [by_length, steps])
def test_a_first_run_estimates_files_that_are_sorted(
    batchrun: Any, endpoint: Any, prompts: Callable[[int], list[str]], limit: int | None, *, is_reversed: bool
) -> None:
    """It has read the first rows only, and calls its numbers a guess; `--limit` may take a part of the file."""
    write_prompts(*prompts(768)[:: -1 if is_reversed else 1])
    path = Path(job(endpoint))
    if limit is not None:
        path.write_text(path.read_text().replace("[model]", f"limit = {limit}\n[model]", 1))
    _, run = finished(batchrun, endpoint)
    assert run.is_about


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(("prompts", "cap"), [(by_length, 10_000), (steps, 7_500), (short, 5_000)])
def test_a_resumed_run_estimates_the_rows_that_are_left(
    batchrun: Any, endpoint: Any, prompts: Callable[[int], list[str]], cap: int, *, is_reversed: bool
) -> None:
    """Whatever the rows that were answered are like."""
    write_prompts(*prompts(768)[:: -1 if is_reversed else 1])
    assert batchrun("run", job(endpoint), "--max-tokens-total", cap, "--yes").code == 5
    assert 0 < endpoint.stats.answered < 640
    finished(batchrun, endpoint)


@pytest.mark.usefixtures("patient")
def test_the_last_rows_of_a_run_are_all_read(batchrun: Any, endpoint: Any) -> None:
    """`run` and `check` have read the same then, and print the same."""
    prompts = by_length(768)
    write_prompts(*prompts)
    endpoint.change(error_shares={"500": 0.0})
    assert batchrun("run", job(endpoint), "--limit", 400).code == 0
    check, run = finished(batchrun, endpoint)
    assert not run.is_about
    assert run.tokens_in.low == pytest.approx(check.tokens_in.low, rel=0.005)
    assert run.tokens_in.high == pytest.approx(check.tokens_in.high, rel=0.005)


@pytest.mark.usefixtures("patient")
def test_new_rows_are_estimated_by_themselves(batchrun: Any, endpoint: Any) -> None:
    """Fifty short rows among many long ones."""
    job(endpoint, "in.csv")
    long = [f'line one\nline two of "row" {row} ' + "word " * 60 for row in range(768)]
    for prompts in (long, [*long[:300], *(f"new {row}" for row in range(50)), *long[300:]]):
        with Path("in.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["prompt"], *([prompt] for prompt in prompts)])
        check, run = finished(batchrun, endpoint)
    assert not run.is_about
    assert max(check.tokens_in.high, run.tokens_in.high) < 50 * 60  # the long rows have 75 each
