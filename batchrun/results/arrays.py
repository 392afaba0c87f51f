"""The columns of the results, made of outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchrun.job.catalogue import PriceLike, cost_usd
from batchrun.records import OutcomeColumns, Usage
from batchrun.results.columns import (
    ANSWERED_BY,
    COLUMNS,
    ENDPOINT,
    REUSED_FROM,
    labels,
    shown_columns,
    shown_endpoint,
)
from batchrun.results.prices import PriceOf


def outcome_arrays(
    outcomes: OutcomeColumns,
    prices: PriceOf,
    shown: Mapping[str, Sequence[Any]] | None = None,
    *,
    only_endpoint: str | None = None,
) -> list[pa.Array]:
    """Return the columns of `COLUMNS`, in their order, for at least one outcome.

    Args:
        outcomes: the settled rows.
        prices: of each model at each endpoint.
        shown: the shown parts of the answers, if they were read already.
        only_endpoint: where answers come from that have no endpoint's name; None where this is not known.
    """
    kinds = outcomes["kind"]
    values: dict[str, Sequence[Any] | pa.Array] = {
        **outcomes,
        **(shown_columns(outcomes) if shown is None else shown),
        "custom_id": labels(outcomes),
        "model": _repeated(outcomes["model"]),
        "status": _statuses(kinds),
        "cost_usd": _costs(outcomes, prices),
        "finished_at": outcomes["finished_at_ms"],
        "error_kind": _repeated(kinds),
        "error": _repeated(outcomes["error"]),
        ENDPOINT.name: _endpoints(outcomes, only_endpoint),
        ANSWERED_BY.name: _unless_empty(outcomes["answered_by"]),
        REUSED_FROM.name: _unless_empty(outcomes["run"]),
    }
    its = [(values[column.name], column.type) for column in COLUMNS]
    return [each if isinstance(each, pa.Array) else pa.array(each, kind) for each, kind in its]


def _statuses(kinds: Sequence[str | None]) -> Sequence[str] | pa.Array:
    if kinds.count(None) == len(kinds):
        return pa.repeat("completed", len(kinds))
    return ["completed" if kind is None else "failed" for kind in kinds]


def _repeated(texts: Sequence[str | None]) -> Sequence[str | None] | pa.Array:
    """Return texts as one that is repeated, if it is the same in all rows, as often."""
    is_same = texts.count(texts[0]) == len(texts)
    return pa.repeat(pa.scalar(texts[0], pa.string()), len(texts)) if is_same else texts


def _costs(outcomes: OutcomeColumns, prices: PriceOf) -> list[float | None]:
    models, endpoints = _answering_models(outcomes), outcomes["endpoint"]
    keys: Sequence[str | tuple[str, str]] = models
    known: dict[Any, PriceLike | None]
    if _are_empty(endpoints):
        known = {model: prices("", model) for model in set(models)}
    else:
        keys = [*zip(endpoints, models, strict=True)]
        known = {each: prices(*each) for each in {*zip(endpoints, models, strict=True)}}
    if all(price is None for price in known.values()):
        return [None] * len(models)
    usages = map(Usage._make, zip(*(outcomes[name] for name in Usage._fields), strict=True))
    return [cost_usd(usage, known[key]) for usage, key in zip(usages, keys, strict=True)]


def _answering_models(outcomes: OutcomeColumns) -> Sequence[str]:
    models, others = outcomes["model"], outcomes["answered_by"]
    if _are_empty(others):
        return models
    return [other or model for model, other in zip(models, others, strict=True)]


def _endpoints(outcomes: OutcomeColumns, only_endpoint: str | None) -> Sequence[str | None] | pa.Array:
    names, attempts, kinds = outcomes["endpoint"], outcomes["attempts"], outcomes["kind"]
    if _are_empty(names) and 0 not in attempts:
        return pa.repeat(pa.scalar(only_endpoint, pa.string()), len(names))
    return [
        shown_endpoint(name, only_endpoint if sent or kind is None else None)
        for name, sent, kind in zip(names, attempts, kinds, strict=True)
    ]


def _unless_empty(names: Sequence[str]) -> Sequence[str | None] | pa.Array:
    return pa.nulls(len(names), pa.string()) if _are_empty(names) else [name or None for name in names]


def _are_empty(names: Sequence[str]) -> bool:
    """Return whether no row has a name, as where there is one endpoint: by one call for all rows."""
    return names.count("") == len(names)
