"""What a run shows before it sends."""

import dataclasses
import gzip
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.store import Store
from batchrun.engine.preflight import preview as previews
from batchrun.engine.preflight.check import check
from batchrun.engine.preflight.preview import Preview, preview
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price
from batchrun.prompts.source import Source

TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty working folder, home and cache."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def write(*prompts: str) -> None:
    Path("in.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))


def job(rows: int | None = None, **limits: Any) -> Job:
    """Return a job of a model that costs one USD per million tokens; write its input if a number of rows is given."""
    if rows is not None:
        write(*(f"number {row}" for row in range(rows)))
    return Job(
        input=Input(path=("in.jsonl",)),
        prompt=PromptTemplates(system="Be brief."),
        model=Model(names=("m",), max_tokens=10),
        limits=Limits(**limits),
        output=Output(dir="out"),
        prices={"m": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)},
    )


def previewed(job: Job, *, is_begun: bool = False, known_rows: int | None = None, retries: bool = False) -> Preview:
    Path("out").mkdir(exist_ok=True)
    with Source(job) as source, Store(Path("out")):
        source.open()
        if known_rows is not None:
            source.expect(known_rows)
        seen = preview(job, source, known_limits=None, is_begun=is_begun, retries=retries, today=TODAY)
        assert next(iter(source.batches()))[0].row == 0  # the run itself reads from the first row
        return seen


def test_a_run_estimates_from_its_first_rows_only() -> None:
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


@pytest.mark.parametrize("retries", [False, True])
def test_a_number_of_rows_that_is_known_is_never_a_guess(monkeypatch: pytest.MonkeyPatch, retries: bool) -> None:
    """Some of them may be broken, so it is the most that are sent."""
    monkeypatch.setattr(previews, "_WHOLE_S", 0.0)
    seen = previewed(job(20_000), known_rows=20_000, retries=retries)
    assert seen.lines[0].startswith("up to 20,000 requests, about ")


@pytest.mark.parametrize(("rows", "limit"), [(3_000, None), (3_000, 2_500), (10_000, 2_500)])
def test_a_small_input_is_read_whole(rows: int, limit: int | None) -> None:
    """Also the first rows of a large one: nothing is a guess then, however the rows are sorted."""
    write(*("word " * (row // 10) for row in range(rows)))
    seen = previewed(dataclasses.replace(job(), input=Input(path=("in.jsonl",), limit=limit)))
    assert seen.lines[0].startswith(f"{limit or rows:,} requests, ")
    assert "about" not in "".join(seen.lines)


def test_a_cap_that_was_agreed_to_is_not_asked_about_again() -> None:
    """The same command that resumes a run is not refused."""
    asked = job(1_000, max_cost_usd=0.0001)
    assert "the cap is 0.0001 USD" in str(previewed(asked).refusal)
    seen = previewed(asked, is_begun=True)
    assert seen.refusal is None
    assert seen.lines[-1].endswith("the cap is 0.0001 USD; what fits is sent, and the run stops at the cap")


SHORT_FIRST = ("x",) * 2_000 + ("word " * 400,) * 3_000
"""A guess from the first rows is 400,000 rows."""


def test_nobody_is_refused_on_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate from the first rows is above the cap; the whole input, which is read to be certain, is below it."""
    monkeypatch.setattr(previews, "_LOOK_EVERY_S", 60.0)
    monkeypatch.setattr(previews, "_CERTAIN_S", 60.0)
    write(*SHORT_FIRST)
    assert previewed(job(max_cost_usd=2.0)).refusal is None
    seen = previewed(job(max_cost_usd=0.5))
    assert seen.refusal is not None
    assert seen.lines[0].startswith("5,000 requests, ")
    assert seen.refusal.startswith("the remaining requests will cost 1.21 – 1.66 USD; ")


def test_a_run_is_refused_for_the_rows_that_were_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that follows makes them cheaper, so no more rows are read."""
    monkeypatch.setattr(previews, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(previews, "_WHOLE_S", 0.0)
    seen = previewed(job(20_000, max_cost_usd=0.01))
    assert seen.refusal is not None
    found = re.match(r"the first ([\d,]+) requests alone will cost 0\.0\d+ – .* USD; the cap is 0.01", seen.refusal)
    assert found is not None
    assert 500 < int(found[1].replace(",", "")) < 2_000


@pytest.mark.parametrize("known_rows", [None, 20_000])
def test_an_estimate_refuses_only_where_the_number_of_rows_is_exact(
    monkeypatch: pytest.MonkeyPatch, known_rows: int | None
) -> None:
    """Where reading takes too long. Otherwise the run begins, and a note says that it will stop at its cap."""
    monkeypatch.setattr(previews, "_CERTAIN_S", 0.0)
    monkeypatch.setattr(previews, "_WHOLE_S", 0.0)
    seen = previewed(job(20_000, max_cost_usd=0.03), known_rows=known_rows)
    assert (seen.refusal is None) is (known_rows is None)
    if known_rows is None:
        assert seen.lines[-1].startswith("note: as estimated from the first rows, the remaining requests will cost 0.")
        assert seen.lines[-1].endswith("; the cap is 0.03 USD; what fits is sent, and the run stops at the cap")


def test_the_estimate_of_an_input_that_begins_with_its_longest_rows_has_the_true_cost() -> None:
    """The bytes of the file show how long the other rows are."""
    write(*("word " * 400,) * 3_000, *("x",) * 17_000)
    seen = previewed(job(), known_rows=20_000)
    low, high = map(thousands, re.findall(r"([\d.]+[kM]) – ([\d.]+[kM]) tokens in", seen.lines[0])[0])
    with Source(job()) as source:
        source.open()
        true = check(job(), source, today=TODAY, on_read=lambda fraction: None).ahead.prompt_tokens.likely
    assert low < true / 1_000 < high < 2 * low


def thousands(text: str) -> float:
    return float(text[:-1]) * {"k": 1.0, "M": 1_000.0}[text[-1]]


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (Model(names=("m",)), "30 requests, "),
        (Model(names=("m", "n"), num_samples=3), "180 requests (in all 30 input rows × 2 models × 3 samples), "),
        (Model(names=("m",), num_samples=3), "90 requests (in all 30 input rows × 3 samples), "),
    ],
)
def test_rows_of_the_input_are_not_mixed_up_with_rows_of_the_results(model: Model, line: str) -> None:
    """One of the first becomes several of the second."""
    assert previewed(dataclasses.replace(job(30), model=model)).lines[0].startswith(line)
