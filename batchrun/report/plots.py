"""The plots of the report, each with a line of text that gives its main numbers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from batchrun.report.distribution import Distribution
from batchrun.report.svg import Axis, Band, Curve, Hover, Point, Size, draw
from batchrun.report.tally import Tally
from batchrun.report.texts import estimated
from batchrun.report.ticks import log_ticks, number_text, time_text
from batchrun.report.timeline import Timeline

_FEWEST_ROWS = 10
"""With fewer rows a plot shows nothing that the table of rows does not show better."""

_MOST_COLUMNS, _FEWEST_COLUMNS = 60, 12
"""Columns of a distribution."""

_MOST_ENDPOINTS = 12
"""With more plots of endpoints the page may grow beyond 3 MB."""

_LIMIT_KNOWN_EVERY_S = 1.0
"""Resolution of the limit's history: with shorter points, its line would mislead."""

_TICKS = {Size.WIDE: 7, Size.NARROW: 4}
"""Most ticks of a time axis, whose texts are wide."""


class Figure(NamedTuple):
    """One plot."""

    title: str
    svgs: list[str]
    """The SVG elements: wide, and narrow for phones."""
    note: str


class LimitPoint(NamedTuple):
    """A new value of the limit, and its Unix time."""

    at_ms: int
    requests: int


def figures(
    tally: Tally,
    limits: Sequence[LimitPoint],
    throttles: Mapping[int, int],
    *,
    bands: Sequence[Band] = (),
    running_s: float | None = None,
) -> list[Figure]:
    """Return the plots that have something to show.

    Args:
        tally: of the results.
        limits: history of the limit, in order of time.
        throttles: bin of the timeline → requests that the endpoint throttled.
        bands: pauses and gaps, in seconds on the time axis.
        running_s: how long all executions have run; None where this was not recorded.
    """
    if tally.timeline is None or tally.rows < _FEWEST_ROWS:
        return []
    time = _Time(tally.timeline, bands)
    tokens = {"prompt": tally.prompt_tokens, "completion": tally.completion_tokens}
    shown = [
        time.throughput(running_s),
        time.flight(limits, throttles),
        _distribution("Latency of completed rows", {"latency": tally.latency_s}, "s"),
        _distribution("Tokens per row", tokens, "tokens"),
    ]
    return [figure for figure in shown if figure is not None]


def endpoint_figures(
    endpoints: Mapping[str, Timeline], limits: Mapping[str, Sequence[LimitPoint]], bands: Mapping[str, Sequence[Band]]
) -> list[Figure]:
    """Return a plot of what was in flight at each endpoint of several; not of more than fit on a page.

    Args:
        endpoints: name → its rows by time.
        limits: name → history of its limit, in order of time.
        bands: name → when it was away.
    """
    drawn = [name for name, each in endpoints.items() if sum(each.completed) + sum(each.failed) >= _FEWEST_ROWS]
    shown = [
        _Time(endpoints[name], bands.get(name, ())).flight(limits.get(name, ()), {}, of=name)
        for name in drawn[:_MOST_ENDPOINTS]
    ]
    return [figure for figure in shown if figure is not None]


class _Time:
    """Plots over time, with the same axis and bands."""

    def __init__(self, timeline: Timeline, bands: Sequence[Band]) -> None:
        self._timeline, self._bands = timeline, bands
        self._width_s = timeline.width_ms / 1000
        self._seconds = timeline.width_ms * timeline.bins / 1000

    def throughput(self, running_s: float | None) -> Figure:
        """Return the plot of settled rows."""
        timeline = self._timeline
        completed, failed = (
            [count / self._width_s for count in each] for each in (timeline.completed, timeline.failed)
        )
        curves = [Curve("area", "completed", self._filled(completed))]
        if any(failed):
            curves.append(Curve("bad", "failed", self._middles(failed)))
        rates = [sum(each) for each in zip(completed, failed, strict=True)]
        rows = sum(timeline.completed) + sum(timeline.failed)
        seconds = running_s or timeline.clock.running_ms(timeline.clock.start_ms, timeline.clock.end_ms) / 1000
        bin_text = time_text(self._width_s)
        note = f"{number_text(rows / max(seconds, 1e-3))} rows per second on average while it ran"
        note += f", {number_text(max(rates))} in the busiest {bin_text}; each point is the mean over {bin_text}"

        def hover(number: int) -> str:
            bad = f", {timeline.failed[number]:,} failed" if timeline.failed[number] else ""
            return f"{timeline.completed[number]:,} completed{bad}: {number_text(rates[number])} rows per second"

        return Figure(
            "Rows per second", self._drawn("Rows settled per second over time", curves, "rows/s", hover), note
        )

    def flight(self, limits: Sequence[LimitPoint], throttles: Mapping[int, int], *, of: str = "") -> Figure | None:
        """Return the plot of requests in flight, at all endpoints or at one of them; None when nothing was sent."""
        in_flight = self._timeline.in_flight
        if not any(in_flight):
            return None
        curves = [Curve("area", "in flight", self._filled(in_flight))]
        # Latencies are rounded, so that a mean can be a little above what was allowed.
        most = min(max(in_flight), max((each.requests for each in limits), default=math.inf))
        note = f"on average {number_text(most)} in flight in the busiest {time_text(self._width_s)}"
        note += ", counting only the last attempt of each row"
        is_fine = self._width_s >= _LIMIT_KNOWN_EVERY_S
        if limit := list(_corners(self._timeline, limits)) if is_fine else []:
            curves.append(Curve("limit", "limit", limit))
            note += f"; last limit {limit[-1][1]:,.0f}"
        if throttles:
            curves.append(Curve("throttled", "throttled", list(self._strokes(throttles))))
            note += f"; {sum(throttles.values()):,} throttled requests, marked at the times their rows were settled"

        def hover(number: int) -> str:
            throttled = f", {throttles[number]:,} throttled" if throttles.get(number) else ""
            settled = f", {self._timeline.completed[number]:,} completed" if of else ""
            return f"{number_text(in_flight[number])} in flight{settled}{throttled}"

        where = f" at {of}" if of else ""
        drawn = self._drawn(f"Requests in flight{where} and their limit", curves, "requests", hover)
        return Figure(of or "Requests in flight", drawn, note)

    def _drawn(self, label: str, curves: Sequence[Curve], vertical: str, hover: Callable[[int], str]) -> list[str]:
        clock = self._timeline.clock
        hovers = [
            Hover(low, high, f"{self._when(low, high)}\n{hover(n)}") for n, (low, high) in enumerate(self._bins())
        ]
        drawn = []
        for size in Size:
            ticks = [(place_ms / 1000, text) for place_ms, text in clock.ticks(_TICKS[size])]
            axis = Axis(0, self._seconds, ticks, f"time, {clock.zone_name}")
            drawn.append(draw(label, axis, curves, size, vertical=vertical, bands=self._bands, hovers=hovers))
        return drawn

    def _bins(self) -> Iterator[tuple[float, float]]:
        for number in range(self._timeline.bins):
            yield number * self._width_s, (number + 1) * self._width_s

    def _when(self, low: float, high: float) -> str:
        clock = self._timeline.clock
        text = f"{clock.text(clock.moment_ms(1000 * low))} – {clock.text(clock.moment_ms(1000 * high))}"
        inside = [band.title for band in self._bands if band.low < high and band.high > low]
        return "\n".join([text, *inside])

    def _middles(self, values: Sequence[float]) -> list[Point]:
        return [((number + 0.5) * self._width_s, value) for number, value in enumerate(values)]

    def _filled(self, values: Sequence[float]) -> list[Point]:
        """Return points that start and end at zero, so that the area below can be filled."""
        return [(0.0, 0.0), *self._middles(values), (self._seconds, 0.0)]

    def _strokes(self, throttles: Mapping[int, int]) -> Iterator[Point]:
        """Yield a stroke at zero for every bin with throttled requests."""
        for number in sorted(throttles):
            yield number * self._width_s, 0
            yield (number + 1) * self._width_s, 0
            yield (number + 1) * self._width_s, None


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
    axis = Axis(low, high, [(tick, number_text(10**tick)) for tick in log_ticks(low, high)], unit)
    counts = {name: parts[name].columns(edges) for name in spreads}
    curves = [
        Curve(look, name, _outline(edges, counts[name]))
        for name, look in zip(spreads, ("area", "second"), strict=False)
    ]
    hovers = []
    for number in range(columns):
        ends = [number_text(10**edge) for edge in edges[number : number + 2]]
        values = [
            f"{name + ': ' if len(counts) > 1 else ''}{estimated(its[number], 'row')}" for name, its in counts.items()
        ]
        hovers.append(Hover(edges[number], edges[number + 1], "\n".join([f"{ends[0]} – {ends[1]} {unit}", *values])))
    svgs = [draw(f"Rows by {title.lower()}", axis, curves, size, vertical="rows", hovers=hovers) for size in Size]
    notes = [_quantiles(parts[name], unit, name if len(parts) > 1 else "") for name in spreads]
    return Figure(title, svgs, "; ".join(notes))


def _quantiles(part: Distribution, unit: str, name: str) -> str:
    half, most, nearly_all = (number_text(_rounded(part.quantile(share), unit)) for share in (0.5, 0.9, 0.99))
    head = f"{name}: " if name else ""
    return f"{head}median {half}, 90 % up to {most}, 99 % up to {nearly_all} {unit}"


def _rounded(value: float, unit: str) -> float:
    return round(value) if unit == "tokens" else value


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
        if at_ms < timeline.clock.start_ms:
            current = requests
        elif at_ms < timeline.clock.end_ms:
            inside.setdefault(timeline.bin_of(at_ms), []).append(requests)
    for number in range(timeline.bins + 1):
        at_s = number * timeline.width_ms / 1000
        values = inside.get(number, [])
        if current is not None and (number in (0, timeline.bins) or values):
            yield at_s, current
        if values:
            yield from ((at_s, value) for value in dict.fromkeys((min(values), max(values), values[-1])))
            current = values[-1]
