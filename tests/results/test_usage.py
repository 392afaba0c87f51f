"""The totals of a run."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.job.sections import Price
from batchrun.records import ModelTotals
from batchrun.results.usage import USAGE_COLUMNS, usage_rows, write_usage

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
}


def test_a_row_has_the_totals_and_the_cost_of_a_model() -> None:
    """Names and order are public. Cached tokens have their own price."""
    (row,) = usage_rows({"m": TOTALS}, {"m": PRICE})
    assert row == ROW
    assert list(row) == list(ROW) == [column.name for column in USAGE_COLUMNS]


@pytest.mark.parametrize(
    ("totals", "price", "usd"),
    [
        (TOTALS, None, None),
        (ModelTotals(requests=2, completed=2, unstated=2), PRICE, None),
        (ModelTotals(requests=2, failed=2), PRICE, 0),
        (ModelTotals(), PRICE, 0),
    ],
)
def test_an_unknown_cost_is_null(totals: ModelTotals, price: Price | None, usd: float | None) -> None:
    """Without a price or without token counts, the cost is unknown, not zero."""
    assert [row["cost_usd"] for row in usage_rows({"m": totals}, {"m": price})] == [usd]


def test_the_file_has_one_row_per_model(tmp_path: Path) -> None:
    """The order of the models is kept, and so are the types, even if every value is null."""
    path = tmp_path / "usage.parquet"
    write_usage(path, {"m": TOTALS, "lora": TOTALS}, {})
    table = pq.read_table(path)
    assert table.to_pylist() == [{**ROW, "cost_usd": None}, {**ROW, "model": "lora", "cost_usd": None}]
    assert table.schema.types == [pa.string(), *[pa.int64()] * 10, pa.float64()]


def test_a_run_without_models_has_an_empty_file(tmp_path: Path) -> None:
    """If no row is settled, the file is still readable."""
    write_usage(tmp_path / "usage.parquet", {}, {})
    assert pq.read_table(tmp_path / "usage.parquet").num_rows == 0
