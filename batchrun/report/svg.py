"""Draws a line chart as SVG. Colours and fonts are in the page's style sheet, for light and dark. Pure."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from batchrun.report.ticks import count_ticks, number_text


class Size(Enum):
    """Size of a chart in its own units, which are pixels at most: the page shrinks a chart a little to fit."""

    WIDE = (640, 270)
    NARROW = (340, 250)
    """For phones, and for small plots."""


_TOP, _RIGHT, _BOTTOM = 24, 24, 44
"""Margins around the plot: above for the name of the vertical axis, below for ticks and the name of the axis."""

_LEGEND_HEIGHT = 20
_SWATCH_WIDTH, _SWATCH_GAP, _ENTRY_GAP = 16, 6, 18
_LABEL_GAP = 8
_TEXT_SIZE = 12
"""As in the style sheet."""

_CHARACTER_WIDTH = 7.7
"""Width of a character in a wide font of this size: an estimate, since only the browser knows the font."""

_TEXT_DROP = 4
"""From the middle of a text of this size down to its baseline."""

_LEAST_BAND = 2
"""Width of a band that is shorter than a pixel."""

Point = tuple[float, float | None]
"""x and y; the line breaks at a point without y."""


class Axis(NamedTuple):
    """The horizontal axis: its ends, place and text of each tick, and its name."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    name: str


class Curve(NamedTuple):
    """One line of a chart."""

    look: str
    """Its class in the style sheet: `area`, `second`, `limit`, `throttled`, `bad`."""
    name: str
    points: Sequence[Point]


class Band(NamedTuple):
    """A stretch of the horizontal axis with a label."""

    low: float
    high: float
    look: str
    """Its class in the style sheet: `gap`, `pause`, `closed`."""
    label: str
    short: str
    """Shown where there is no room for the label."""
    title: str
    """Shown next to the pointer."""


class Hover(NamedTuple):
    """The text that is shown when the pointer is over a stretch of the horizontal axis."""

    low: float
    high: float
    text: str


class _Frame(NamedTuple):
    """Where the plot is in the chart, and which numbers its edges stand for."""

    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float
    most: float

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self.low) / max(self.high - self.low, 1e-9)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.most


def draw(
    label: str,
    axis: Axis,
    curves: Sequence[Curve],
    size: Size = Size.WIDE,
    *,
    vertical: str = "",
    bands: Sequence[Band] = (),
    hovers: Sequence[Hover] = (),
) -> str:
    """Return a chart as an SVG element, with a vertical axis from zero and a legend for several curves.

    Args:
        label: what the chart shows, for people who cannot see it.
        axis: the horizontal axis.
        curves: at least one, each with at least one point.
        size: of the chart.
        vertical: name of the vertical axis.
        bands: in order, behind the curves.
        hovers: texts that the browser shows next to the pointer.
    """
    width, height = size.value
    ticks = count_ticks(max(y for curve in curves for _, y in curve.points if y is not None))
    texts = [number_text(tick) for tick in ticks]
    left = _text_width(max(texts, key=len)) + _LABEL_GAP
    legend, legend_height = _legend(curves, width) if len(curves) > 1 else ([], 0)
    frame = _Frame(left, _TOP + legend_height, width - _RIGHT, height - _BOTTOM, axis.low, axis.high, ticks[-1])
    root = Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label})
    root.extend(legend)
    root.append(_name("name vertical", 0, frame.top - 12, vertical))
    root.append(_vertical_axis(frame, zip(ticks, texts, strict=True)))
    root.append(_horizontal_axis(frame, axis))
    root.append(_name("name horizontal", frame.right, height - 4, axis.name))
    root.extend(_bands(frame, bands))
    root.extend(_series(frame, curve) for curve in curves)
    root.extend(_band_labels(frame, bands))
    if hovers:
        root.append(_hovers(frame, hovers))
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
    for tick, text in axis.ticks:
        half = _text_width(text) / 2
        x = min(max(frame.x(tick), half), frame.right + _RIGHT - half)  # a text at the edge is not cut off
        group.append(_text(x, frame.bottom + _TEXT_SIZE + _TEXT_DROP, text))
    return group


def _name(look: str, x: float, y: float, text: str) -> Element:
    group = Element("g", {"class": look})
    group.append(_text(x, y, text))
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


def _bands(frame: _Frame, bands: Sequence[Band]) -> Iterable[Element]:
    for band in bands:
        group = Element("g", {"class": f"band {band.look}"})
        group.append(_stretch(frame, band.low, band.high, band.title))
        yield group


def _band_labels(frame: _Frame, bands: Sequence[Band]) -> Iterable[Element]:
    """Yield the labels of bands: the whole where nothing is in its way, else the short one, else none."""
    taken = 0.0
    for number, band in enumerate(bands):
        middle = (frame.x(band.low) + frame.x(band.high)) / 2
        following = bands[number + 1 : number + 2]
        free = min((frame.x(each.low) for each in following), default=frame.right + _RIGHT)
        for text, least, most in ((band.label, taken, free), (band.short, taken, frame.right + _RIGHT)):
            half = _text_width(text) / 2
            place = min(max(middle, frame.left + half), frame.right + _RIGHT - half)
            if least <= place - half and place + half <= most:
                taken = place + half + _LABEL_GAP
                yield _name(f"label {band.look}", place, frame.top + _TEXT_SIZE, text)
                break


def _hovers(frame: _Frame, hovers: Sequence[Hover]) -> Element:
    group = Element("g", {"class": "hover"})
    group.extend(_stretch(frame, *each) for each in hovers)
    return group


def _stretch(frame: _Frame, low: float, high: float, title: str) -> Element:
    x = frame.x(low)
    ends = {"x": x, "y": frame.top, "width": max(_LEAST_BAND, frame.x(high) - x), "height": frame.bottom - frame.top}
    element = Element("rect", {name: _number(value) for name, value in ends.items()})
    SubElement(element, "title").text = title
    return element


def _legend(curves: Sequence[Curve], width: float) -> tuple[list[Element], float]:
    """Return the entries of the legend, in as many lines as they need, and its height."""
    left, y = 0.0, _TEXT_SIZE / 2
    entries = []
    for curve in curves:
        entry_width = _SWATCH_WIDTH + _SWATCH_GAP + _text_width(curve.name)
        if left and left + entry_width > width:
            left, y = 0.0, y + _LEGEND_HEIGHT
        group = Element("g", {"class": f"legend {curve.look}"})
        group.append(_line(left, y, left + _SWATCH_WIDTH, y))
        group.append(_text(left + _SWATCH_WIDTH + _SWATCH_GAP, y + _TEXT_DROP, curve.name))
        entries.append(group)
        left += entry_width + _ENTRY_GAP
    return entries, y + _LEGEND_HEIGHT - _TEXT_SIZE / 2


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
