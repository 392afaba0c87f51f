"""What each model's part of a run adds up to: changed in the transaction that changes the rows."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from batchrun.checkpoint.tables import COUNTS
from batchrun.records import ModelTotals, Outcome, Usage


class Extra(NamedTuple):
    """Attempts and tokens of a model that are in no row's outcome."""

    model: str
    usage: Usage | None = None
    """Of an answer; None: there was none."""
    attempts: int = 0
    throttled: int = 0
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    answered_by: str = ""
    """The model that was asked in place of `model`, as its fallback; empty without one."""


class Copied(NamedTuple):
    """How many outcomes of one model were copied for rows that asked the same: nothing was sent for them."""

    model: int
    """Its number in the checkpoint."""
    is_completed: bool
    rows: int
    source: int | None = None
    """Number of the source of what was copied; None where it has none."""


class Sums(NamedTuple):
    """What outcomes of one model add up to."""

    counts: list[int]
    """In the order of `COUNTS`."""
    stated_as_0: frozenset[str] = frozenset()
    """As in `ModelTotals`; also what other answers state to be more."""

    def minus(self, other: "Sums") -> "Sums":
        """Return the sums without those of some of the outcomes."""
        return Sums([ours - theirs for ours, theirs in zip(self.counts, other.counts, strict=True)], self.stated_as_0)


def sums_of(outcomes: Iterable[Outcome]) -> Sums:
    """Return what outcomes of one model add up to."""
    counts = [0] * len(COUNTS)
    zeros: set[Usage] = set()
    for _, _, _, _, _, kind, _, _, attempts, _, _, _, usage, throttled, *_ in outcomes:
        counts[0 if kind is None else 1] += 1
        counts[2] += attempts
        counts[3] += throttled
        if kind is None:
            _add_usage(counts, usage, zeros)
    return Sums(counts, _stated_as_0(zeros))


def _sums_of_extra(extra: Extra) -> Sums:
    counts = [0] * len(COUNTS)
    zeros: set[Usage] = set()
    counts[2], counts[3] = extra.attempts, extra.throttled
    if extra.usage is not None:
        _add_usage(counts, extra.usage, zeros)
    return Sums(counts, _stated_as_0(zeros))


def added(
    before: dict[str, ModelTotals], sums: Iterable[tuple[str, Sums]], extras: Iterable[Extra]
) -> dict[str, ModelTotals]:
    """Return the totals with sums of models, and extras, added."""
    by_model: dict[str, list[Sums]] = {}
    for model, its in [*sums, *((extra.model, _sums_of_extra(extra)) for extra in extras)]:
        by_model.setdefault(model, []).append(its)
    totals = dict(before)
    for model, parts in by_model.items():
        old = before.get(model, ModelTotals())
        counts = map(sum, zip(*(each.counts for each in parts), strict=True))
        values = {name: getattr(old, name) + count for name, count in zip(COUNTS, counts, strict=True)}
        zeros = old.stated_as_0.union(*(each.stated_as_0 for each in parts))
        stated = frozenset(name for name in zeros if not values[name])
        totals[model] = ModelTotals(requests=values["completed"] + values["failed"], **values, stated_as_0=stated)
    return totals


def _add_usage(counts: list[int], usage: Usage, zeros: set[Usage]) -> None:
    prompt, completion, total, cached, reasoning = usage
    if prompt is None or completion is None:  # its cost is not known
        counts[9] += 1
        return
    counts[4] += prompt
    counts[5] += completion
    counts[6] += total or 0
    counts[7] += cached or 0
    counts[8] += reasoning or 0
    if 0 in usage:
        zeros.add(usage)


def _stated_as_0(usages: Iterable[Usage]) -> frozenset[str]:
    return frozenset(name for usage in usages for name, tokens in zip(Usage._fields, usage, strict=True) if tokens == 0)


def with_copies(
    before: Mapping[str, ModelTotals], copied: Iterable[Copied], models: Mapping[str, int]
) -> dict[str, ModelTotals]:
    """Return the totals with these copies added; `models` has each model's number."""
    totals = dict(before)
    names = {number: name for name, number in models.items()}
    for each in copied:
        totals[names[each.model]] = with_rows(totals.get(names[each.model], ModelTotals()), each)
    return totals


def with_rows(sums: ModelTotals, copied: Copied) -> ModelTotals:
    """Return totals with the rows of copies added."""
    field = "completed" if copied.is_completed else "failed"
    return sums._replace(**{field: getattr(sums, field) + copied.rows}, requests=sums.requests + copied.rows)


def totals_of(model: str, counts: Sequence[Any], stated_as_0: frozenset[str]) -> ModelTotals:
    """Return stored totals.

    Args:
        model: for the message.
        counts: in the order of `COUNTS`.
        stated_as_0: as in `ModelTotals`.

    Raises:
        sqlite3.DatabaseError: they are not numbers.
    """
    if not all(type(count) is int for count in counts):
        raise sqlite3.DatabaseError(f"the totals of {model} are not numbers")
    sums = dict(zip(COUNTS, counts, strict=True))
    return ModelTotals(requests=sums["completed"] + sums["failed"], **sums, stated_as_0=stated_as_0)


def write_totals(connection: sqlite3.Connection, model: int, sums: ModelTotals) -> None:
    """Replace one model's totals."""
    marks = ", ".join("?" * (1 + len(COUNTS)))
    values = [getattr(sums, name) for name in COUNTS]
    connection.execute(f"INSERT OR REPLACE INTO totals VALUES ({marks})", (model, *values))  # question marks
