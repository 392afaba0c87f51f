"""The totals of a run."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.priced import priced

from batchrun.job.sections import Price
from batchrun.records import AnswerSource, ModelTotals, Usage, summed
from batchrun.results.usage import (
    MODEL_COLUMNS,
    USAGE_COLUMNS,
    cost_of,
    fallback_rows,
    model_rows,
    usage_rows,
    write_usage,
)

PRICE = Price(input_usd_per_mtok=2, output_usd_per_mtok=10, cached_input_usd_per_mtok=1)
TOTALS = ModelTotals(
    requests=10,
    completed=8,
    failed=2,
    attempts=15,
    throttled=3,
    prompt_tokens=1_000_000,
    completion_tokens=100_000,
    total_tokens=1_100_000,
    cached_tokens=500_000,
    reasoning_tokens=50_000,
    unstated=1,
)
ROW = {
    "model": "m",
    "requests": 10,
    "completed": 8,
    "failed": 2,
    "attempts": 15,
    "throttled": 3,
    "prompt_tokens": 1_000_000,
    "completion_tokens": 100_000,
    "total_tokens": 1_100_000,
    "cached_tokens": 500_000,
    "reasoning_tokens": 50_000,
    "cost_usd": 2.5,
    "endpoint": "host",
    "answered_by": None,
}
M = AnswerSource("m")


def test_a_row_has_the_totals_and_the_cost_of_a_model() -> None:
    """Names and order are public. Cached tokens have their own price."""
    (row,) = usage_rows({M: TOTALS}, priced(m=PRICE), "host")
    assert row == ROW
    assert list(row) == list(ROW) == [column.name for column in USAGE_COLUMNS]
    assert model_rows({M: TOTALS}, priced(m=PRICE)) == [{column.name: ROW[column.name] for column in MODEL_COLUMNS}]


def test_each_endpoint_has_a_row_at_its_own_price(tmp_path: Path) -> None:
    """And each model that answered in place of another; the row of the model has what they add up to."""
    east, west = ModelTotals(5, 5, 0, 5, 0, 1_000_000), ModelTotals(2, 1, 1, 3, 1, 2_000_000)
    spare = ModelTotals(1, 1, 0, 1, 0, 4_000_000)
    parts = {
        AnswerSource("m", "east"): east,
        AnswerSource("m", "west"): west,
        AnswerSource("m", "west", "spare"): spare,
        AnswerSource("m"): ModelTotals(1, 0, 1),  # never sent
    }
    prices = {("east", "m"): 2.0, ("west", "m"): 3.0, ("west", "spare"): 10.0}

    def price(endpoint: str, model: str) -> Price | None:
        usd = prices.get((endpoint, model))
        return None if usd is None else Price(input_usd_per_mtok=usd)

    rows = usage_rows(parts, price, "host")
    names = ("model", "endpoint", "answered_by", "requests", "failed", "cost_usd")
    assert [[row[name] for name in names] for row in rows] == [
        ["m", "east", None, 5, 0, 2.0],
        ["m", "west", None, 2, 1, 6.0],
        ["m", "west", "spare", 1, 0, 40.0],
        ["m", None, None, 1, 1, 0.0],
    ]
    (row,) = model_rows(parts, price)
    assert (row["requests"], row["failed"], row["prompt_tokens"], row["cost_usd"]) == (9, 2, 7_000_000, 48.0)
    del prices["west", "spare"]
    assert model_rows(parts, price)[0]["cost_usd"] is None
    write_usage(tmp_path / "usage.parquet", rows)
    assert pq.read_table(tmp_path / "usage.parquet").to_pylist() == rows


def test_what_fallbacks_have_answered_is_counted_by_model_over_all_endpoints() -> None:
    """Rows that no fallback answered are in no entry."""
    parts = {
        AnswerSource("m", "east"): ModelTotals(5, 5),
        AnswerSource("m", "east", "spare"): ModelTotals(2, 2),
        AnswerSource("m", "west", "spare"): ModelTotals(1, 1),
        AnswerSource("n", "west", "spare"): ModelTotals(4, 4),
        AnswerSource("spare", "west"): ModelTotals(attempts=3),
    }
    assert fallback_rows(parts) == [
        {"model": "m", "answered_by": "spare", "rows": 3},
        {"model": "n", "answered_by": "spare", "rows": 4},
    ]


@pytest.mark.parametrize(
    ("totals", "price", "usd"),
    [
        (TOTALS, None, None),
        (ModelTotals(requests=2, completed=2, unstated=2), PRICE, None),
        (ModelTotals(requests=2, failed=2), PRICE, 0),
        (ModelTotals(attempts=3), None, 0),
        (ModelTotals(), PRICE, 0),
    ],
)
def test_an_unknown_cost_is_null(totals: ModelTotals, price: Price | None, usd: float | None) -> None:
    """Without a price or without token counts, the cost is unknown, not zero; unless nothing was answered."""
    assert [row["cost_usd"] for row in model_rows({M: totals}, priced(m=price))] == [usd]


def test_what_no_answer_stated_is_null_and_not_0() -> None:
    """Unless answers stated 0, or there is no answer at all: then nothing was used."""
    stated = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    (row,) = model_rows({M: ModelTotals(completed=1, **stated)}, priced(m=PRICE))
    assert (row["cached_tokens"], row["reasoning_tokens"]) == (None, None)
    assert row["cost_usd"] == pytest.approx(30 / 1e6)
    zeros = frozenset({"cached_tokens"})
    (row,) = model_rows({M: ModelTotals(completed=1, **stated, stated_as_0=zeros)}, priced(m=PRICE))
    assert (row["cached_tokens"], row["reasoning_tokens"]) == (0, None)
    (row,) = model_rows({M: ModelTotals(completed=2, unstated=2)}, priced(m=PRICE))
    assert {row[name] for name in Usage._fields} == {None}
    (row,) = model_rows({M: ModelTotals(failed=2)}, priced(m=PRICE))
    assert {row[name] for name in Usage._fields} == {0}


def test_the_sums_over_models_are_null_only_where_no_model_states_them() -> None:
    """A model that states 0 makes the sum 0."""
    silent = ModelTotals(completed=1, unstated=1)
    spoken = ModelTotals(completed=1, prompt_tokens=5, stated_as_0=frozenset({"cached_tokens"}))
    assert summed([silent, spoken]).usage == Usage(5, None, None, 0, None)
    assert summed([silent]).usage == Usage()
    assert summed([]).usage == Usage(0, 0, 0, 0, 0)


def test_the_total_cost_is_known_if_that_of_every_model_that_was_asked_is() -> None:
    """A model to which nothing was sent needs no price."""
    asked, unasked = {"cost_usd": 1.5, "attempts": 1}, {"cost_usd": None, "attempts": 0}
    assert cost_of([asked, asked, unasked]) == 3.0
    assert cost_of([asked, {"cost_usd": None, "attempts": 1}]) is None
    assert cost_of([]) == 0


def test_the_file_has_one_row_per_model(tmp_path: Path) -> None:
    """The order of the models is kept, and so are the types, even if every value is null."""
    path = tmp_path / "usage.parquet"
    write_usage(path, usage_rows({M: TOTALS, AnswerSource("lora"): TOTALS}, priced(), "host"))
    table = pq.read_table(path)
    assert table.to_pylist() == [{**ROW, "cost_usd": None}, {**ROW, "model": "lora", "cost_usd": None}]
    assert table.schema.types == [pa.string(), *[pa.int64()] * 10, pa.float64(), pa.string(), pa.string()]


def test_a_run_without_models_has_an_empty_file(tmp_path: Path) -> None:
    """If no row is settled, the file is still readable."""
    write_usage(tmp_path / "usage.parquet", [])
    assert pq.read_table(tmp_path / "usage.parquet").num_rows == 0
