"""The totals of a run by model, for usage.parquet, run.json and the footer of the results."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.job.catalogue import PriceLike, cost_usd
from batchrun.records import ModelTotals, Usage
from batchrun.results.columns import Column

USAGE_COLUMNS = (
    Column("model", pa.string(), "the model that was asked"),
    Column("requests", pa.int64(), "rows of the results: completed and failed"),
    Column("completed", pa.int64(), "requests that were answered"),
    Column("failed", pa.int64(), "requests that failed"),
    Column("attempts", pa.int64(), "HTTP exchanges made, throttled ones included"),
    Column("throttled", pa.int64(), "attempts that the endpoint turned away for their number"),
    Column(
        "prompt_tokens",
        pa.int64(),
        "of every answer that was paid for; null when no answer stated them; as in the four that follow",
    ),
    Column("completion_tokens", pa.int64(), "tokens of the answers, reasoning included"),
    Column("total_tokens", pa.int64(), "prompt and completion"),
    Column("cached_tokens", pa.int64(), "prompt tokens that came from the endpoint's prefix cache"),
    Column("reasoning_tokens", pa.int64(), "completion tokens that went into reasoning"),
    Column("cost_usd", pa.float64(), "US dollars; null when no price is known, or no answer stated its tokens"),
)


def usage_rows(
    totals_by_model: Mapping[str, ModelTotals], prices: Mapping[str, PriceLike | None]
) -> list[dict[str, Any]]:
    """Return one row per model, with the columns of usage.parquet, in the order of the mapping."""
    return [_usage_row(model, totals, prices.get(model)) for model, totals in totals_by_model.items()]


def cost_of(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the cost of all models that were sent a request; None where the cost of one is not known.

    Args:
        rows: of `usage_rows`.
    """
    costs = [row["cost_usd"] for row in rows if row["attempts"]]
    return None if None in costs else sum(costs)


def write_usage(path: Path, totals_by_model: Mapping[str, ModelTotals], prices: Mapping[str, PriceLike | None]) -> None:
    """Write usage.parquet."""
    schema = pa.schema([(column.name, column.type) for column in USAGE_COLUMNS])
    table = pa.Table.from_pylist(usage_rows(totals_by_model, prices), schema=schema)
    pq.write_table(table, path, compression="zstd")


def _usage_row(model: str, totals: ModelTotals, price: PriceLike | None) -> dict[str, Any]:
    values = {"model": model, **totals._asdict(), **totals.usage._asdict(), "cost_usd": _cost_usd(totals, price)}
    return {column.name: values[column.name] for column in USAGE_COLUMNS}


def _cost_usd(totals: ModelTotals, price: PriceLike | None) -> float | None:
    """Return the cost of the reported tokens. Cost is linear in the counts, so the totals can be priced at once."""
    if totals.usage.prompt_tokens is None and totals.usage.completion_tokens is None:
        return None
    return cost_usd(Usage(*(getattr(totals, name) for name in Usage._fields)), price)
