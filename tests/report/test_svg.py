"""A line chart as SVG."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from batchrun.report.svg import Axis, Curve, Point, draw

HOSTILE = '</text><script>alert(1)</script> & "'


def axis(low: float = 0, high: float = 10, ticks: tuple[float, ...] = (0, 5, 10)) -> Axis:
    """Return an axis with numbers at its ticks."""
    return Axis(low, high, ticks, lambda value: f"{value:g}")


def chart(*curves: list[Point], among: Axis | None = None) -> Element:
    """Return the elements of a chart with these curves."""
    named = [Curve("area", f"curve {number}", points) for number, points in enumerate(curves)]
    return ElementTree.fromstring(draw("a chart", among or axis(), named))  # the text comes from this test


def path_of(root: Element, number: int = 0) -> list[tuple[str, float, float]]:
    """Return the steps of a curve as command and point."""
    data = root.findall("g[@class='series area']/path")[number].attrib["d"]
    return [(command, float(x), float(y)) for command, x, y in re.findall(r"([ML])([\d.]+) ([\d.]+)", data)]


def texts(root: Element, look: str) -> list[str | None]:
    """Return the texts of a group."""
    return [text.text for text in root.findall(f"g[@class='{look}']/text")]


def test_points_are_drawn_to_scale_between_the_ends_of_the_axes() -> None:
    """The middle of both axes is the middle of the chart; larger values are higher."""
    start, middle, end = path_of(chart([(0, 0), (5, 50), (10, 100)]))
    assert [step[0] for step in (start, middle, end)] == ["M", "L", "L"]
    assert middle[1] == pytest.approx((start[1] + end[1]) / 2, abs=0.1)
    assert middle[2] == pytest.approx((start[2] + end[2]) / 2, abs=0.1)
    assert 0 < start[1] < end[1] < 640
    assert 250 > start[2] > end[2] > 0


def test_ticks_have_the_position_of_their_values() -> None:
    """They are below the points with the same x, and to the left of the points with the same y."""
    root = chart([(0, 0), (5, 50), (10, 100)])
    steps = path_of(root)
    below = [float(text.attrib["x"]) for text in root.findall("g[@class='axis horizontal']/text")]
    assert below == [x for _, x, _ in steps]
    assert texts(root, "axis horizontal") == ["0", "5", "10"]
    assert texts(root, "axis vertical") == ["0", "25", "50", "75", "100"]
    lines = [float(line.attrib["y1"]) for line in root.findall("g[@class='axis vertical']/line")]
    assert [lines[0], lines[2], lines[4]] == [y for _, _, y in steps]


def test_a_line_breaks_at_a_point_without_a_value() -> None:
    """The next point starts a new line."""
    commands = [step[0] for step in path_of(chart([(0, 1), (1, 1), (2, None), (3, 1), (4, 1)]))]
    assert commands == ["M", "L", "M", "L"]


def test_several_curves_have_a_legend_whose_entries_do_not_overlap() -> None:
    """A single curve has no legend, because the title names it."""
    assert chart([(0, 1)]).findall("g[@class='legend area']") == []
    root = chart([(0, 1)], [(0, 2)], [(0, 3)])
    assert texts(root, "legend area") == ["curve 0", "curve 1", "curve 2"]
    entries = root.findall("g[@class='legend area']")
    swatches = [float(entry.find("line").attrib["x1"]) for entry in entries]  # type: ignore[union-attr]  # is there
    names = [float(entry.find("text").attrib["x"]) for entry in entries]  # type: ignore[union-attr]  # is there
    assert names[0] + 6 * len("curve 0") < swatches[1]
    assert names[1] + 6 * len("curve 1") < swatches[2]


def test_longer_numbers_get_more_room() -> None:
    """Otherwise a label would be cut off at the left edge."""
    short, long = (path_of(chart([(0, 0), (10, most)]))[0][1] for most in (5, 500_000))
    assert long - short > 6 * len("00,000")


def test_all_texts_are_escaped() -> None:
    """No text adds an element."""
    among = Axis(0, 1, (0,), lambda value: HOSTILE)
    svg = draw(HOSTILE, among, [Curve("area", HOSTILE, [(0, 1)]), Curve("bad", HOSTILE, [(0, 1)])])
    root = ElementTree.fromstring(svg)  # the text comes from this test
    assert {element.tag for element in root.iter()} == {"svg", "g", "line", "path", "text"}
    assert root.attrib["aria-label"] == HOSTILE
    assert texts(root, "legend area") == texts(root, "axis horizontal") == [HOSTILE]


@pytest.mark.parametrize("points", [[(3.0, 0.0)], [(3.0, 0.0), (3.0, 5.0)]])
def test_an_axis_without_length_and_zeros_can_be_drawn(points: list[Point]) -> None:
    """The plots of a run with one row are like that."""
    assert path_of(chart(points, among=axis(low=3, high=3)))


def test_a_chart_is_small_and_has_no_inline_style() -> None:
    """The policy of the page allows only its own style, and a plot over time has hundreds of points."""
    points: list[Point] = [(number / 3, number / 7) for number in range(1_000)]
    svg = draw("a chart", axis(high=334), [Curve("area", "rows", points)])
    assert len(svg) < 16_000
    assert not re.search("style|fill=|stroke=|http", svg)
