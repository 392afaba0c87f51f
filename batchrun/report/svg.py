"""Draws a line chart as SVG. Colours and fonts are in the page's style sheet, for light and dark. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from batchrun.report.ticks import count_ticks, number_text

_WIDTH, _HEIGHT = 640, 250
"""Size of a chart in its own units; the page scales it."""

_TOP, _RIGHT, _BOTTOM = 8, 22, 28
"""Margins around the plot: for half a label above and to the right, and for the labels below."""

_LEGEND_HEIGHT = 22
_SWATCH_WIDTH, _SWATCH_GAP, _ENTRY_GAP = 16, 6, 20
_LABEL_GAP = 8
_TEXT_SIZE = 12
"""As in the style sheet."""

_CHARACTER_WIDTH = 7.7
"""Width of a digit in a wide font of this size: an estimate, since only the browser knows the font."""

_TEXT_DROP = 4
"""From the middle of a text of this size down to its baseline."""

Point = tuple[float, float | None]
"""x and y; the line breaks at a point without y."""


class Axis(NamedTuple):
    """The horizontal axis: its ends, its ticks, and the text of a tick."""

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


class _Frame(NamedTuple):
    """Where the plot is in the chart, and which numbers its edges stand for."""

    left: float
    top: float
    low: float
    high: float
    most: float

    @property
    def right(self) -> float:
        return _WIDTH - _RIGHT

    @property
    def bottom(self) -> float:
        return _HEIGHT - _BOTTOM

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self.low) / max(self.high - self.low, 1e-9)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.most


def draw(label: str, axis: Axis, curves: Sequence[Curve]) -> str:
    """Return a chart as an SVG element, with a vertical axis from zero and a legend for several curves.

    Args:
        label: what the chart shows, for people who cannot see it.
        axis: the horizontal axis.
        curves: at least one, each with at least one point.
    """
    ticks = count_ticks(max(y for curve in curves for _, y in curve.points if y is not None))
    texts = [number_text(tick) for tick in ticks]
    left = _text_width(max(texts, key=len)) + _LABEL_GAP
    legend_height = _LEGEND_HEIGHT if len(curves) > 1 else 0
    frame = _Frame(left, _TOP + legend_height, axis.low, axis.high, ticks[-1])
    root = Element("svg", {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": label})
    root.append(_vertical_axis(frame, zip(ticks, texts, strict=True)))
    root.append(_horizontal_axis(frame, axis))
    root.extend(_series(frame, curve) for curve in curves)
    if legend_height:
        root.extend(_legend(left, curves))
    return ElementTree.tostring(root, encoding="unicode")


def _vertical_axis(frame: _Frame, ticks: Iterable[tuple[float, str]]) -> Element:
    group = Element("g", {"class": "axis vertical"})
    for tick, text in ticks:
        y = frame.y(tick)
        group.append(_line(frame.left, y, frame.right, y))
        group.append(_text(frame.left - _LABEL_GAP, y + _TEXT_DROP, text))
    return group


def _horizontal_axis(frame: _Frame, axis: Axis) -> Element:
    group = Element("g", {"class": "axis horizontal"})
    group.extend(_text(frame.x(tick), frame.bottom + _TEXT_SIZE + _TEXT_DROP, axis.text(tick)) for tick in axis.ticks)
    return group


def _series(frame: _Frame, curve: Curve) -> Element:
    group = Element("g", {"class": f"series {curve.look}"})
    steps, is_down = [], False
    for x, y in curve.points:
        if y is not None:
            steps.append(f"{'L' if is_down else 'M'}{_number(frame.x(x))} {_number(frame.y(y))}")
        is_down = y is not None
    group.append(Element("path", {"d": "".join(steps)}))
    return group


def _legend(left: float, curves: Sequence[Curve]) -> Iterable[Element]:
    y = _TOP + _TEXT_DROP
    for curve in curves:
        group = Element("g", {"class": f"legend {curve.look}"})
        group.append(_line(left, y, left + _SWATCH_WIDTH, y))
        group.append(_text(left + _SWATCH_WIDTH + _SWATCH_GAP, y + _TEXT_DROP, curve.name))
        left += _SWATCH_WIDTH + _SWATCH_GAP + _text_width(curve.name) + _ENTRY_GAP
        yield group


def _line(x1: float, y1: float, x2: float, y2: float) -> Element:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return Element("line", {name: _number(value) for name, value in ends.items()})


def _text(x: float, y: float, text: str) -> Element:
    element = Element("text", {"x": _number(x), "y": _number(y)})
    element.text = text
    return element


def _text_width(text: str) -> float:
    return _CHARACTER_WIDTH * len(text)


def _number(value: float) -> str:
    """Return a length to a tenth of a unit: less than a pixel."""
    return f"{value:.1f}".removesuffix(".0")
