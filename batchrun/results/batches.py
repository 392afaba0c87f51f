"""The batches of a run, as status, run.json and the bar show them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from batchrun.checkpoint.batch_tables import (
    COLLECTED,
    CREATED,
    CREATING,
    FAILED,
    GIVEN_UP,
    GONE,
    UPLOADED,
    WAITING,
    WRITTEN,
    BatchRow,
)
from batchrun.endpoint.pool.budget import Amount
from batchrun.job.catalogue import cost_text
from batchrun.records import BatchFigures
from batchrun.results.executions import utc_text

NOT_TAKEN, DROPPED = "not_taken", "dropped"
"""What became of batches that the provider has refused, and that were never sent."""

_ENDS = {FAILED: NOT_TAKEN, GONE: GONE, GIVEN_UP: GIVEN_UP}
"""Status of a batch that brought nothing → what is shown of it."""

_ENDED = frozenset({COLLECTED, DROPPED, *_ENDS.values()})

_ON_ITS_WAY = frozenset({WRITTEN, UPLOADED, CREATING})


def batch_figures(row: BatchRow, *, is_running: bool) -> BatchFigures:
    """Return what is shown of a batch.

    Args:
        row: of the batch.
        is_running: whether a process brings it to the provider.
    """
    status = (row.status or row.step) if row.step == CREATED else row.step
    if row.step == COLLECTED:
        status = _ENDS.get(row.status, COLLECTED) if row.status else DROPPED
    elif row.step in _ON_ITS_WAY and row.status == WAITING and is_running:
        status = WAITING
    elif row.step in _ON_ITS_WAY:
        status = "uploading" if is_running else "not_known" if row.step == CREATING else "not_sent"
    counts = row.requests, row.completed, row.failed
    return BatchFigures(row.id, row.name or "", status, *counts, row.expires_at_ms, row.model)


def open_batches(batches: Iterable[BatchFigures]) -> tuple[BatchFigures, ...]:
    """Return those that have not ended yet."""
    return tuple(each for each in batches if each.status not in _ENDED)


def held(rows: Iterable[BatchRow]) -> Amount:
    """Return what is set aside for batches that are not collected."""
    rows = [row for row in rows if row.step != COLLECTED]
    return Amount(sum(row.reserved_usd for row in rows), sum(row.reserved_tokens for row in rows))


def batches_entry(batches: Sequence[BatchFigures], set_aside: Amount) -> dict[str, Any] | None:
    """Return the batches as `Summary.batches` describes them; None where the run has never sent any."""
    if not batches:
        return None
    return {
        "collected": sum(each.status == COLLECTED for each in batches),
        **{status: sum(each.status == status for each in batches) for status in (GIVEN_UP, NOT_TAKEN, GONE)},
        "set_aside_usd": round(set_aside.usd, 9),
        "set_aside_tokens": int(set_aside.tokens),
        "open": [_entry(each) for each in open_batches(batches)],
    }


def figures_in(batches: Mapping[str, Any]) -> list[BatchFigures]:
    """Return the open batches of an entry that `batches_entry` returned, or that run.json has.

    Args:
        batches: the entry; an older run.json names no models.
    """
    return [_figures(each) for each in batches["open"]]


def cost_with(batches: Mapping[str, Any] | None, cost: str, *, is_unknown: bool) -> str:
    """Return what a run has cost, for people: what its batches under way cost is not known yet.

    Args:
        batches: as `batches_entry` returns them.
        cost: of its answers, for people.
        is_unknown: whether no price is known.
    """
    if batches is None or not any(each["id"] for each in batches["open"]):
        return cost
    return cost_text(None) if is_unknown else f"{cost}, without that of batches under way"


def _entry(batch: BatchFigures) -> Mapping[str, Any]:
    counts = {name: getattr(batch, name) for name in _COUNTS}
    named = {"number": batch.number, "id": batch.name, "model": batch.model, "status": batch.status}
    return {**named, **counts, "expires_at": utc_text(batch.expires_at_ms)}


def _figures(entry: Mapping[str, Any]) -> BatchFigures:
    at = entry["expires_at"]
    return BatchFigures(
        number=entry["number"],
        name=entry["id"],
        status=entry["status"],
        **{name: entry[name] for name in _COUNTS},
        expires_at_ms=int(1000 * datetime.fromisoformat(at).timestamp()) if at else None,
        model=entry.get("model", ""),
    )


_COUNTS = ("requests", "completed", "failed")
