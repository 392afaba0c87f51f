"""The summary of a run."""

import dataclasses
from pathlib import Path

import pytest

from batchrun.endpoint.pool.budget import Amount
from batchrun.job.sections import Input, Job, Model, Price
from batchrun.records import AnswerSource, BatchFigures, ModelTotals
from batchrun.results.recorded import Recorded, Status
from batchrun.results.summary import summarize


def test_nothing_set_aside_is_zero_and_not_minus_zero() -> None:
    """Sums of money leave a rest of a few 1e-18 on either side."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    recorded = Recorded(set_aside=Amount(-1e-18))
    summary = summarize(job, Path("out"), Status(state="completed"), {}, recorded=recorded)
    assert str(summary.set_aside_usd) == "0.0"


@pytest.mark.parametrize(
    ("sums", "text"),
    [
        (ModelTotals(2, 2, attempts=2, unstated=2), "not known: no answer states its tokens"),
        (ModelTotals(2, 2, 0, 2, 0, 3, 4, 7, unstated=1), "no price known"),
    ],
)
def test_why_a_cost_is_not_known_is_named(sums: ModelTotals, text: str) -> None:
    """The answers do not state what they used, or the price is missing."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    assert summarize(job, Path("out"), Status(state="completed"), {AnswerSource("m"): sums}).cost_text == text


def test_where_one_of_several_models_has_a_price_its_cost_is_shown() -> None:
    """The others are named, and no sum pretends to have them."""
    job = Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("a", "b")),
        prices={"a": Price(input_usd_per_mtok=100, output_usd_per_mtok=1000)},
    )
    sums = ModelTotals(2, 2, 0, 2, 0, 300, 400, 700)
    summary = summarize(job, Path("out"), Status(state="completed"), {AnswerSource("a"): sums, AnswerSource("b"): sums})
    assert (summary.cost_usd, summary.cost_text) == (None, "at least 0.4300 USD, for a; not known for b")


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (Status(state="stopped"), "0.4300 USD"),
        (Status(state="running"), "at least 0.4300 USD, for a; not known for b"),
    ],
)
def test_a_model_that_refused_every_request_has_cost_nothing(refused: Status, text: str) -> None:
    """Its price need not be known, once no request to it can be in flight any more."""
    job = Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("a", "b")),
        prices={"a": Price(input_usd_per_mtok=100, output_usd_per_mtok=1000)},
    )
    parts = {AnswerSource("a"): ModelTotals(2, 2, 0, 2, 0, 300, 400, 700), AnswerSource("b"): ModelTotals(attempts=3)}
    assert summarize(job, Path("out"), refused, parts).cost_text == text


@pytest.mark.parametrize(
    ("prices", "text"),
    [
        ({"a": Price(input_usd_per_mtok=100)}, "0 USD, without that of batches under way"),
        ({}, "no price known"),
    ],
)
def test_before_a_batch_is_collected_the_price_of_its_model_is_known(prices: dict[str, Price], text: str) -> None:
    job = Job(input=Input(path=("in.jsonl",)), prices=prices)
    under_way = Recorded(batches=(BatchFigures(1, "batch_a", "in_progress", 40, 12, 0, None, "a"),))
    found = summarize(job, Path("out"), Status(state="interrupted"), {}, recorded=under_way)
    assert (found.cost_text, len(found.prices)) == (text, len(prices))


def test_a_cost_of_nothing_is_not_shown_as_the_known_part() -> None:
    """Where one model refused every request, and the other has no price."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("a", "b")))
    parts = {AnswerSource("a"): ModelTotals(2, 2, 0, 2, 0, 300, 400, 700), AnswerSource("b"): ModelTotals(attempts=3)}
    assert summarize(job, Path("out"), Status(state="stopped"), parts).cost_text == "no price known"


@pytest.mark.parametrize(
    ("unrecorded", "state", "cost_usd"), [(0, "stopped", 0.0), (60, "stopped", None), (0, "running", None)]
)
def test_what_was_sent_without_a_price_and_not_recorded_has_not_cost_nothing(
    unrecorded: int, state: str, cost_usd: float | None
) -> None:
    """With nothing sent it has."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    recorded = Recorded(unrecorded=unrecorded)
    assert summarize(job, Path("out"), Status(state=state), {}, recorded=recorded).cost_usd == cost_usd


def test_the_models_that_were_paused_are_named_if_others_were_not() -> None:
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("a", "b")))
    summary = summarize(
        job, Path("out"), Status(state="completed"), {AnswerSource(model): ModelTotals(1, 1) for model in "ab"}
    )
    assert summary.whose_pauses == ""
    one, both = ([{"pauses": [{"model": name} for name in names]}] for names in ("b", "ab"))
    assert dataclasses.replace(summary, executions=one).whose_pauses == " for b"
    assert dataclasses.replace(summary, executions=both).whose_pauses == ""
