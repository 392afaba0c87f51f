"""Draws a line chart as SVG, by leather; colours and fonts are the page's style sheet's, so that dark is dark.

leather gives each part a class, and a style sheet wins over the colours that it writes beside them.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from xml.etree import ElementTree

from leather import Chart, theme
from leather.scales import Scale
from leather.series import Series
from leather.shapes import Line

from batchrun.report.ticks import count_ticks, number_text

_WIDTH, _HEIGHT = 640, 250
"""Of a chart, in units of its own; the page scales it."""

theme.margin = 0.015
theme.background_color = "none"
theme.legend_font_size = theme.tick_font_size = 12
theme.legend_font_char_width = theme.tick_font_char_width = 7

_LENGTHS = {"d", "x", "y", "x1", "x2", "y1", "y2", "transform"}
_LONG = re.compile(r"(\.\d\d)\d+")

Point = tuple[float, float | None]
"""x and y; without a y the line breaks off."""


class Axis(NamedTuple):
    """The horizontal axis: its ends, its marks, and what stands beside them."""

    low: float
    high: float
    ticks: Sequence[float]
    text: Callable[[float], str]


class Curve(NamedTuple):
    """One line of a chart."""

    look: str
    """Its class in the style sheet: `area`, `second`, `limit`, `throttled`, `bad`."""
    name: str
    points: Sequence[Point]


class _Span(Scale):  # type: ignore[misc]  # leather ships no types
    """A linear scale that ends where it is told to; leather's own goes on to the next round number."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._length = low, max(high - low, 1e-9)

    def contains(self, value: Any) -> bool:
        """Return whether a value may be drawn."""
        return True

    def project(self, value: Any, range_min: Any, range_max: Any) -> Decimal:
        """Return the place of a value."""
        share = Decimal((float(value) - self._low) / self._length)
        return Decimal(range_min) + (Decimal(range_max) - Decimal(range_min)) * share


class _Look(Line):  # type: ignore[misc]  # leather ships no types
    """A line that has a class of its own, in the chart and in the legend."""

    def __init__(self, look: str) -> None:
        super().__init__("currentColor")
        self._look = look

    def to_svg(self, *arguments: Any) -> ElementTree.Element:
        """Return the line."""
        group: ElementTree.Element = super().to_svg(*arguments)
        group.set("class", f"series {self._look}")
        return group

    def legend_to_svg(self, series: Any, palette: Any) -> list[tuple[ElementTree.Element, int]]:
        """Return its entry in the legend."""
        entries: list[tuple[ElementTree.Element, int]] = super().legend_to_svg(series, palette)
        for group, _ in entries:
            group.set("class", f"legend {self._look}")
        return entries


def draw(label: str, axis: Axis, curves: Sequence[Curve]) -> str:
    """Return a chart as an SVG element: numbers from zero on, over `axis`.

    Args:
        label: what it shows, for those who do not see it.
        axis: the horizontal one.
        curves: at least one, each with at least one point.
    """
    ticks = count_ticks(max(y for curve in curves for _, y in curve.points if y is not None))
    chart = Chart()
    for curve in curves:
        chart.add_series(Series(curve.points, name=curve.name), _Look(curve.look))
    chart.set_x_scale(_Span(axis.low, axis.high))
    chart.set_y_scale(_Span(0, ticks[-1]))
    chart.add_x_axis(ticks=axis.ticks, tick_formatter=lambda value, *_: axis.text(value))
    chart.add_y_axis(ticks=ticks, tick_formatter=lambda value, *_: number_text(value))
    root = ElementTree.Element("svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")
    root.set("aria-label", label)
    root.append(chart.to_svg_group(_WIDTH, _HEIGHT))
    for element in root.iter():
        for name in _LENGTHS.intersection(element.keys()):
            element.set(name, _LONG.sub(r"\1", element.attrib[name]))  # leather writes 28 digits
    return ElementTree.tostring(root, encoding="unicode")
