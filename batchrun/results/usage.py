"""The totals of a run: by model for run.json; by model and endpoint for usage.parquet and the footer of the results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.job.catalogue import cost_usd
from batchrun.records import AnswerSource, ModelTotals, Parts, Usage, summed, unnumbered_endpoint
from batchrun.results.columns import ANSWERED_BY, ENDPOINT, Column, shown_endpoint
from batchrun.results.prices import PriceOf

MODEL_COLUMNS = (
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
    Column(
        "cost_usd",
        pa.float64(),
        "US dollars; 0 where nothing was answered; null when no price is known, or no answer stated its tokens",
    ),
)
"""Of an entry of `models` in run.json."""

USAGE_COLUMNS = (*MODEL_COLUMNS, ENDPOINT, ANSWERED_BY)


def model_rows(parts: Parts, prices: PriceOf) -> list[dict[str, Any]]:
    """Return one row per model, with the columns of usage.parquet that every run has, in the order of the parts."""
    return [
        _row(model, summed(parts[source] for source in its), cost_of_parts({each: parts[each] for each in its}, prices))
        for model, its in _by_model(parts).items()
    ]


def usage_rows(parts: Parts, prices: PriceOf, only_endpoint: str | None = None) -> list[dict[str, Any]]:
    """Return one row per model, endpoint and model that answered, with the columns of usage.parquet.

    Args:
        parts: the totals.
        prices: of each model at each endpoint.
        only_endpoint: where the answers come from that have no endpoint's name; None where this is not known.
    """
    return [
        {
            **_row(shown.model, totals, usd),
            ENDPOINT.name: shown_endpoint(shown.endpoint, only_endpoint if totals.attempts else None),
            ANSWERED_BY.name: shown.answered_by or None,
        }
        for shown, totals, usd in _shown(parts, prices)
    ]


def reused_rows(parts: Parts) -> list[dict[str, Any]]:
    """Return how many rows have an answer of another run: one entry for each `run`, with its `rows`."""
    rows: dict[str, int] = {}
    for source, totals in parts.items():
        if source.run:
            rows[source.run] = rows.get(source.run, 0) + totals.requests
    return [{"run": run, "rows": count} for run, count in rows.items() if count]


def fallback_rows(parts: Parts) -> list[dict[str, Any]]:
    """Return how many rows a fallback has answered: one entry for each `model` and `answered_by`, with its `rows`."""
    rows: dict[tuple[str, str], int] = {}
    for source, totals in parts.items():
        if source.answered_by:
            pair = source.model, source.answered_by
            rows[pair] = rows.get(pair, 0) + totals.completed
    return [{"model": model, "answered_by": other, "rows": count} for (model, other), count in rows.items() if count]


def cost_of_parts(parts: Parts, prices: PriceOf) -> float | None:
    """Return the cost of all that was sent; None where the cost of a part is not known."""
    costs = {source: _cost_usd(source, totals, prices) for source, totals in parts.items()}
    sent = [cost for source, cost in costs.items() if parts[source].attempts] or [*costs.values()][:1]
    return _sum(sent)


def least_cost_of_parts(parts: Parts, prices: PriceOf) -> float | None:
    """Return the cost of the parts whose cost is known; None where none is."""
    costs = [_cost_usd(source, totals, prices) for source, totals in parts.items() if totals.attempts]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def cost_of(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the cost of all models that were sent a request; None where the cost of one is not known.

    Args:
        rows: of `model_rows` or `usage_rows`.
    """
    return _sum([row["cost_usd"] for row in rows if row["attempts"]])


def least_cost_of(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the cost of the models whose cost is known; None where none is."""
    costs = [row["cost_usd"] for row in rows if row["attempts"] and row["cost_usd"] is not None]
    return sum(costs) if costs else None


def write_usage(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write usage.parquet, of what `usage_rows` returns."""
    schema = pa.schema([(column.name, column.type) for column in USAGE_COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _shown(parts: Parts, prices: PriceOf) -> Iterator[tuple[AnswerSource, ModelTotals, float | None]]:
    """Yield what is shown as one part: its source, its totals and what they cost.

    A name may have stood for several endpoints, each with its price.
    """
    together: dict[AnswerSource, dict[AnswerSource, ModelTotals]] = {}
    for source, totals in _without_runs(parts).items():
        shown = source._replace(endpoint=unnumbered_endpoint(source.endpoint))
        together.setdefault(shown, {})[source] = totals
    for shown, its in together.items():
        usd = cost_of_parts(its, prices) if len(its) > 1 else _cost_usd(*next(iter(its.items())), prices)
        yield shown, summed(its.values()), usd


def _without_runs(parts: Parts) -> dict[AnswerSource, ModelTotals]:
    """Return the parts, whether their answers were sent for this run or taken from another."""
    found: dict[AnswerSource, ModelTotals] = {}
    for source, totals in parts.items():
        its = source._replace(run="")
        found[its] = summed((found[its], totals)) if its in found else totals
    return found


def _by_model(parts: Parts) -> dict[str, list[AnswerSource]]:
    found: dict[str, list[AnswerSource]] = {}
    for source in parts:
        found.setdefault(source.model, []).append(source)
    return found


def _row(model: str, totals: ModelTotals, usd: float | None) -> dict[str, Any]:
    values = {"model": model, **totals._asdict(), **totals.usage._asdict(), "cost_usd": usd}
    return {column.name: values[column.name] for column in MODEL_COLUMNS}


def _sum(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _cost_usd(source: AnswerSource, totals: ModelTotals, prices: PriceOf) -> float | None:
    """Return the cost of the reported tokens. Cost is linear in the counts, so the totals can be priced at once."""
    prompt, completion, *_ = totals.usage
    if prompt is None and completion is None:
        return None
    if not (prompt or completion):
        return 0.0  # at any price: every attempt was refused, or failed
    price = prices(source.endpoint, source.answering_model)
    return cost_usd(Usage(*(getattr(totals, name) for name in Usage._fields)), price)
