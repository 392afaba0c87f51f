"""The summary of a run."""

from pathlib import Path

import pytest

from batchrun.endpoint.pool.budget import Amount
from batchrun.job.sections import Input, Job, Model
from batchrun.records import ModelTotals
from batchrun.results.summary import Recorded, Status, summarize


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
    assert summarize(job, Path("out"), Status(state="completed"), {"m": sums}).cost_text == text
