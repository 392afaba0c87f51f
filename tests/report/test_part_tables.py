"""The tables of models and endpoints: what each has done, how fast, and at what cost."""

from typing import Any

from batchrun.report.part_tables import columns_of, endpoint_entries, model_entries
from batchrun.report.tally import tally

COUNTS: dict[str, Any] = {"completed": 2, "failed": 0, "throttled": 0, "cached_tokens": 0, "reasoning_tokens": None}


def test_columns_that_are_zero_for_all_are_left_out() -> None:
    assert {"failed", "throttled", "limit", "cached_tokens"}.isdisjoint(columns_of([COUNTS]))
    assert {"failed", "limit"} <= columns_of([COUNTS, COUNTS | {"failed": 1, "limit": 20}]).keys()
    assert "completed" in columns_of([])


def test_an_entry_has_the_speed_of_its_rows(write_results: Any) -> None:
    """From the first request that was answered to the last answer; a dash where there is none."""
    rows = [{"finished_at": 1_000 * second, "endpoint": "east", "latency_s": 1.0} for second in range(1, 11)]
    found = tally(write_results(*rows), failed_rows=0, has_endpoints=True)
    (model,) = model_entries([{"model": "m", "cost_usd": 1.5}], found)
    assert (model["rate"], model["tokens_per_s"], model["median_s"], model["cost_text"]) == ("60", "5", "1", "1.5000")
    east, west, both = endpoint_entries(
        [
            {"name": "east", "state": None, "cost_usd": None},
            {"name": "west", "state": "closed", "cost_usd": 0.0},
            {"name": "both", "state": None, "cost_usd": None, "least_cost_usd": 0.5},
        ],
        found,
    )
    assert (east["endpoint"], east["rate"], east["cost_text"]) == ("east", "60", "no price known")
    assert both["cost_text"] == "at least 0.5000"
    assert (west["endpoint"], west["rate"], west["p99_s"], west["cost_text"]) == ("west (closed)", "–", "–", "0")
