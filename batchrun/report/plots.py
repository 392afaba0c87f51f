"""The plots of the report, each with a line of text that gives its main numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from batchrun.report.svg import Axis, Curve, Point, draw
from batchrun.report.tally import Distribution, Tally, Timeline
from batchrun.report.ticks import log_ticks, number_text, time_text, time_ticks

_MOST_COLUMNS, _FEWEST_COLUMNS = 60, 12
"""Columns of a distribution."""

_LIMIT_KNOWN_EVERY_S = 1.0
"""Resolution of the limit's history: with shorter points, its line would mislead."""


class Figure(NamedTuple):
    """One plot."""

    title: str
    svg: str
    """The SVG element."""
    note: str


class LimitPoint(NamedTuple):
    """A new value of the limit, and its Unix time."""

    at_ms: int
    requests: int


def figures(
    tally: Tally, limits: Sequence[LimitPoint], throttles: Mapping[int, int], *, running_s: float | None = None
) -> list[Figure]:
    """Return the plots that have something to show.

    Args:
        tally: of the results.
        limits: history of the limit, in order of time.
        throttles: bin of the timeline → requests that the endpoint throttled.
        running_s: how long all executions have run; None where this was not recorded.
    """
    shown: list[Figure | None] = []
    if tally.timeline is not None:
        shown = [_throughput(tally.timeline, running_s), _flight(tally.timeline, limits, throttles)]
    tokens = {"prompt": tally.prompt_tokens, "completion": tally.completion_tokens}
    shown.append(_distribution("Latency of completed rows, seconds", {"latency": tally.latency_s}, "s"))
    shown.append(_distribution("Tokens per row", tokens, "tokens"))
    return [figure for figure in shown if figure is not None]


def _throughput(timeline: Timeline, running_s: float | None) -> Figure:
    per_s = 1000 / timeline.width_ms
    completed = [count * per_s for count in timeline.completed]
    failed = [count * per_s for count in timeline.failed]
    curves = [Curve("area", "completed", _filled(timeline, completed))]
    if any(failed):
        curves.append(Curve("bad", "failed", _middles(timeline, failed)))
    rates = [sum(each) for each in zip(completed, failed, strict=True)]
    rows = sum(timeline.completed) + sum(timeline.failed)
    mean = number_text(rows / (running_s or timeline.seconds))
    bin_text = time_text(timeline.width_ms / 1000)
    note = f"{mean} rows per second on average while it ran, {number_text(max(rates))} in the busiest"
    note += f" {bin_text}; each point is the mean over {bin_text}"
    return Figure("Rows per second", draw("Rows settled per second over time", _time(timeline), curves), note)


def _flight(timeline: Timeline, limits: Sequence[LimitPoint], throttles: Mapping[int, int]) -> Figure | None:
    in_flight = timeline.in_flight
    if not any(in_flight):
        return None  # nothing was sent
    curves = [Curve("area", "in flight", _filled(timeline, in_flight))]
    # Latencies are rounded, so that a mean can be a little above what was allowed.
    most = min(max(in_flight), max((each.requests for each in limits), default=math.inf))
    note = f"on average {number_text(most)} in flight in the busiest {time_text(timeline.width_ms / 1000)}"
    note += ", counting only the last attempt of each row"
    is_fine = timeline.width_ms >= 1000 * _LIMIT_KNOWN_EVERY_S
    if limit := list(_corners(timeline, limits)) if is_fine else []:
        curves.append(Curve("limit", "limit", limit))
        note += f"; last limit {limit[-1][1]:,.0f}"
    if throttles:
        curves.append(Curve("throttled", "throttled", list(_strokes(timeline, throttles))))
        note += f"; {sum(throttles.values()):,} throttled requests, marked at the times their rows were settled"
    return Figure("Requests in flight", draw("Requests in flight and their limit", _time(timeline), curves), note)


def _distribution(title: str, parts: Mapping[str, Distribution], unit: str) -> Figure | None:
    """Return the plot of distributions on a logarithmic scale: the first part filled, the second as a line."""
    spreads = {name: spread for name, part in parts.items() if (spread := part.spread())}
    if not spreads:
        return None
    first, last = min(low for low, _ in spreads.values()), max(high for _, high in spreads.values())
    rows = max(parts[name].count for name in spreads)
    columns = min(_MOST_COLUMNS, max(_FEWEST_COLUMNS, 2 * math.isqrt(rows)))
    edges = [first + (last - first) * number / columns for number in range(columns + 1)]
    room = max(0.0, 0.3 - (last - first)) / 2  # equal values get a narrow column, not the whole width
    low, high = first - room, last + room
    axis = Axis(low, high, log_ticks(low, high), lambda value: number_text(10**value))
    curves = [
        Curve(look, name, _outline(edges, parts[name].columns(edges)))
        for name, look in zip(spreads, ("area", "second"), strict=False)
    ]
    notes = [_quantiles(parts[name], unit, name if len(parts) > 1 else "") for name in spreads]
    return Figure(title, draw(f"Rows by {title.lower()}", axis, curves), "; ".join(notes))


def _quantiles(part: Distribution, unit: str, name: str) -> str:
    half, most, nearly_all = (number_text(_rounded(part.quantile(share), unit)) for share in (0.5, 0.9, 0.99))
    head = f"{name}: " if name else ""
    return f"{head}median {half}, 90 % up to {most}, 99 % up to {nearly_all} {unit}"


def _rounded(value: float, unit: str) -> float:
    return round(value) if unit == "tokens" else value


def _time(timeline: Timeline) -> Axis:
    return Axis(0, timeline.seconds, time_ticks(timeline.seconds), time_text)


def _middles(timeline: Timeline, values: Sequence[float]) -> list[Point]:
    width_s = timeline.width_ms / 1000
    return [((number + 0.5) * width_s, value) for number, value in enumerate(values)]


def _filled(timeline: Timeline, values: Sequence[float]) -> list[Point]:
    """Return points that start and end at zero, so that the area below can be filled."""
    return [(0.0, 0.0), *_middles(timeline, values), (timeline.seconds, 0.0)]


def _outline(edges: Sequence[float], counts: Sequence[float]) -> list[Point]:
    points: list[Point] = [(edges[0], 0)]
    for number, count in enumerate(counts):
        points += [(edges[number], count), (edges[number + 1], count)]
    return [*points, (edges[-1], 0)]


def _corners(timeline: Timeline, limits: Sequence[LimitPoint]) -> Iterator[tuple[float, float]]:
    """Yield the corners of the limit's line, at most four per bin of the timeline."""
    current: int | None = None
    inside: dict[int, list[int]] = {}
    for at_ms, requests in limits:
        number = math.floor((at_ms - timeline.start_ms) / timeline.width_ms)
        if number < 0:
            current = requests
        elif number < timeline.bins:
            inside.setdefault(number, []).append(requests)
    for number in range(timeline.bins + 1):
        at_s = number * timeline.width_ms / 1000
        values = inside.get(number, [])
        if current is not None and (number in (0, timeline.bins) or values):
            yield at_s, current
        if values:
            yield from ((at_s, value) for value in dict.fromkeys((min(values), max(values), values[-1])))
            current = values[-1]


def _strokes(timeline: Timeline, throttles: Mapping[int, int]) -> Iterator[Point]:
    """Yield a stroke at zero for every bin with throttled requests."""
    width_s = timeline.width_ms / 1000
    for number in sorted(throttles):
        yield number * width_s, 0
        yield (number + 1) * width_s, 0
        yield (number + 1) * width_s, None
