"""The distributions of answers as the page shows them: bars for labels, a histogram for many numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from batchrun.report.distribution import Distribution
from batchrun.report.labels import ALL_MODELS, Labels
from batchrun.report.svg import Axis, Curve, Hover, Point, Size, draw
from batchrun.report.texts import estimated
from batchrun.report.ticks import count_ticks, number_text

_MOST_LINES = 12
"""Most labels with a bar; the rarer ones are added up."""

_MOST_NUMBERS = 20
"""Most different numbers with a bar each; more are drawn as a histogram."""

_TOGETHER = "all models together"

_COLUMNS = 40
"""Of a histogram."""

_LOOKS = ("area", "second", "third", "fourth")
"""Classes in the style sheet, one for each model."""


class Bar(NamedTuple):
    """How often one model gave one label."""

    answers: int
    share: float
    """Of the model's answers, in percent."""
    width: float
    """0 to 100."""


class Line(NamedTuple):
    """One label."""

    label: str
    bars: list[Bar]
    """One for each model."""


class Chart(NamedTuple):
    """The distribution of one column."""

    name: str
    models: list[str]
    lines: list[Line]
    """Empty when there is a histogram."""
    svgs: list[str]
    """The histogram, wide and narrow."""
    notes: list[str]


def chart_of(labels: Labels) -> Chart | None:
    """Return the chart of a column; None when it holds free texts, or nothing."""
    if not labels.rows.total():
        return None
    if is_barred(labels):
        assert labels.values is not None
        nulls = {group: labels.nulls[group] for group in labels.groups}
        note = ["an answer can have several values; shares are of the answers"] if labels.is_list else []
        return bars(labels.name, labels.values, labels.rows, nulls=nulls, in_order=_order(labels), notes=note)
    return _histogram(labels) if labels.kind == "number" and not labels.is_list else None


def is_barred(labels: Labels) -> bool:
    """Return whether a column has few enough values for a bar each: then answers can be compared by it."""
    different = labels.different
    if not different:
        return False
    if labels.kind == "number":
        return different <= _MOST_NUMBERS
    counted = sum(each.total() for each in (labels.values or {}).values()) / labels.per_prompt
    return labels.kind == "boolean" or labels.is_choice or 2 * different <= counted + 1


def _order(labels: Labels) -> list[Any] | None:
    """Return all values in the order of their bars; None for the most frequent first."""
    if labels.kind == "text" or labels.values is None:
        return None
    values = set().union(*labels.values.values())
    return sorted(values, reverse=labels.kind == "boolean")


def bars(
    name: str,
    counts: Mapping[str, Counter[Any]],
    rows: Mapping[str, int],
    *,
    nulls: Mapping[str, int] | None = None,
    in_order: Sequence[Any] | None = None,
    notes: Sequence[str] = (),
) -> Chart:
    """Return a chart with a bar for each value and model.

    Args:
        name: of the column.
        counts: model → how often it gave each value.
        rows: model → number of its answers.
        nulls: model → number of its answers without a value.
        in_order: the values in the order of their bars; the most frequent first without it.
        notes: texts below.
    """
    together = sum(counts.values(), Counter[Any]())
    order = list(in_order) if in_order is not None else sorted(together, key=lambda each: (-together[each], str(each)))
    shown, rest = order[:_MOST_LINES], order[_MOST_LINES:]
    if len(rest) == 1:
        shown, rest = order, []
    lines = [(label_text(value), [counts[model][value] for model in counts]) for value in shown]
    if rest:
        others = [sum(counts[model][value] for value in rest) for model in counts]
        lines.append((f"{len(rest):,} other values", others))
    if nulls is not None and any(nulls.values()):
        lines.append(("null", [nulls[model] for model in counts]))
    shares = [
        [100 * count / max(1, rows[model]) for count, model in zip(each, counts, strict=True)] for _, each in lines
    ]
    most = max((share for each in shares for share in each), default=0) or 1
    together_note = [_TOGETHER] if list(counts) == [ALL_MODELS] else []
    return Chart(
        name,
        list(short_names(counts).values()),
        [
            Line(label, [Bar(n, share, 100 * share / most) for n, share in zip(each, its, strict=True)])
            for (label, each), its in zip(lines, shares, strict=True)
        ],
        [],
        [*notes, *together_note],
    )


def label_text(value: Any) -> str:
    """Return a value as it stands in the answer."""
    if isinstance(value, str):
        return value or '""'
    return f"{value:g}" if isinstance(value, float) else orjson.dumps(value).decode()


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Return each model's name without its owner, where these differ."""
    names = {model: model.rpartition("/")[2] for model in models}
    counts = Counter(names.values())
    return {model: name if counts[name] == 1 else model for model, name in names.items()}


def _histogram(labels: Labels) -> Chart | None:
    parts = {group: each for group, each in labels.numbers.items() if each.count}
    if not parts:
        return None
    together = Distribution()
    for each in parts.values():
        together.update(each)
    low, high = _range(together)
    if labels.is_whole:  # each integer covers the range from half below to half above it
        low, high = round(low) - 0.5, round(high) + 0.5
    edges = [low + (high - low) * number / _COLUMNS for number in range(_COLUMNS + 1)]
    axis = Axis(low, high, [(tick, number_text(tick)) for tick in _ticks(low, high)], labels.name)
    names = short_names(parts)
    curves = [
        Curve(look, names[group], list(_outline(edges, part.linear_columns(edges))))
        for look, (group, part) in zip(_LOOKS, parts.items(), strict=False)
    ]
    label = f"Answers by {labels.name}"
    svgs = [draw(label, axis, curves, size, vertical="answers", hovers=list(_hovers(edges, parts))) for size in Size]
    notes = [_quantiles(labels, group, names[group] if len(parts) > 1 else "") for group in parts]
    notes += [_TOGETHER] if list(parts) == [ALL_MODELS] else []
    if missing := labels.nulls.total():
        notes.append(f"null: {missing:,}")
    return Chart(labels.name, list(labels.groups), [], svgs, notes)


def _hovers(edges: Sequence[float], parts: Mapping[str, Distribution]) -> Iterable[Hover]:
    counts = {name: parts[group].linear_columns(edges) for group, name in short_names(parts).items()}
    for number, (low, high) in enumerate(pairwise(edges)):
        heads = [f"{name}: " if len(counts) > 1 else "" for name in counts]
        lines = [head + estimated(its[number], "answer") for head, its in zip(heads, counts.values(), strict=True)]
        yield Hover(low, high, "\n".join([f"{number_text(low)} – {number_text(high)}", *lines]))


def _range(numbers: Distribution) -> tuple[float, float]:
    """Return the ends of a histogram: all numbers, without the outer 0.5 % when these are far away."""
    least, low, high, most = (numbers.quantile(share) for share in (0, 0.005, 0.995, 1))
    room = 0.5 * (high - low)
    low, high = max(least, low - room), min(most, high + room)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    step = count_ticks(high - low)[1]
    first = -(-low // step)
    return [step * (first + number) for number in range(int((high - first * step) // step) + 1)]


def _outline(edges: Sequence[float], counts: Sequence[float]) -> Iterable[Point]:
    yield edges[0], 0.0
    for number, count in enumerate(counts):
        yield edges[number], count
        yield edges[number + 1], count
    yield edges[-1], 0.0


def _quantiles(labels: Labels, group: str, name: str) -> str:
    low, half, high = (number_text(_quantile(labels, group, share)) for share in (0.1, 0.5, 0.9))
    head = f"{name}: " if name else ""
    return f"{head}median {half}, the middle 80 % from {low} to {high}"


def _quantile(labels: Labels, group: str, share: float) -> float:
    """Return the value with this share of the values below it, exactly where all values are known."""
    if labels.values is None:
        return labels.numbers[group].quantile(share)
    values = labels.values[group]
    passed, wanted, reached = 0, share * values.total(), 0.0
    for value in sorted(values):
        passed, reached = passed + values[value], value
        if passed >= wanted:
            break
    return reached
