"""A line chart as SVG."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from batchrun.report.svg import Axis, Band, Curve, Hover, Point, Size, draw

HOSTILE = '</text><script>alert(1)</script> & "'


def axis(low: float = 0, high: float = 10, ticks: tuple[float, ...] = (0, 5, 10)) -> Axis:
    """Return an axis with numbers at its ticks."""
    return Axis(low, high, [(tick, f"{tick:g}") for tick in ticks], "seconds")


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
    assert 270 > start[2] > end[2] > 0


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


def test_a_legend_that_is_too_wide_takes_several_lines() -> None:
    """A phone is narrow, and models have long names."""
    names = ["Llama-3.1-8B-Instruct", "Qwen3-235B-A22B-Instruct", "c"]
    svg = draw("a chart", axis(), [Curve("area", name, [(0, 1)]) for name in names], Size.NARROW)
    entries = ElementTree.fromstring(svg).findall("g[@class='legend area']/text")
    assert len({entry.attrib["y"] for entry in entries}) == 2
    assert all(float(entry.attrib["x"]) + 6 * len(entry.text or "") < 340 for entry in entries)


def test_both_axes_have_names() -> None:
    root = ElementTree.fromstring(draw("a chart", axis(), [Curve("area", "a", [(0, 1)])], vertical="rows/s"))
    assert texts(root, "name vertical") == ["rows/s"]
    assert texts(root, "name horizontal") == ["seconds"]


def labels(*bands: tuple[float, float]) -> list[str | None]:
    """Return the labels that are shown of these bands."""
    named = [Band(*ends, "gap", f"a long label {n}", str(n), f"title {n}") for n, ends in enumerate(bands)]
    svg = draw("a chart", axis(high=100), [Curve("area", "a", [(0, 1)])], bands=named)
    return texts(ElementTree.fromstring(svg), "label gap")


def test_bands_are_labelled_as_far_as_there_is_room() -> None:
    """With their whole label, or a short one, or none; all have a title that is shown next to the pointer."""
    assert labels((10, 60)) == ["a long label 0"]
    assert labels((30, 31), (34, 35), (80, 81)) == ["0", "1", "a long label 2"]
    assert labels((10, 11), (11, 11.5), (13.5, 14)) == ["0", "2"]
    assert labels((99, 100)) == ["a long label 0"]


def test_bands_have_the_place_of_their_ends_and_are_never_invisible() -> None:
    """A restart takes no time, and is there."""
    bands = [Band(5, 10, "pause", "a", "a", "why"), Band(10, 10, "gap", "b", "b", "b")]
    svg = draw("a chart", axis(), [Curve("area", "a", [(0, 0), (5, 1), (10, 1)])], bands=bands)
    root = ElementTree.fromstring(svg)
    pause, gap = root.findall("g/rect")
    middle = path_of(root)[1][1]
    assert float(pause.attrib["x"]) == pytest.approx(middle, abs=0.1)
    assert float(pause.attrib["width"]) == pytest.approx(path_of(root)[2][1] - middle, abs=0.1)
    assert float(gap.attrib["width"]) == 2
    assert [title.text for title in root.findall("g/rect/title")] == ["why", "b"]


def test_values_are_shown_next_to_the_pointer() -> None:
    """Each stretch of the axis has its text."""
    hovers = [Hover(0, 5, "first"), Hover(5, 10, "second")]
    root = ElementTree.fromstring(draw("a chart", axis(), [Curve("area", "a", [(0, 1), (5, 1)])], hovers=hovers))
    first, second = root.findall("g[@class='hover']/rect")
    assert [each.findtext("title") for each in (first, second)] == ["first", "second"]
    assert float(second.attrib["x"]) == pytest.approx(path_of(root)[1][1], abs=0.1)


def test_ticks_at_the_edges_are_not_cut_off() -> None:
    """Half of a clock time stands out over its place."""
    among = Axis(0, 10, [(0, "28 Nov 21:00"), (10, "29 Nov 21:00")], "time")
    svg = draw("a chart", among, [Curve("area", "a", [(0, 1)])], Size.NARROW)
    ticks = ElementTree.fromstring(svg).findall("g[@class='axis horizontal']/text")
    assert all(3 * 12 < float(tick.attrib["x"]) < 340 - 3 * 12 for tick in ticks)


def test_all_texts_are_escaped() -> None:
    """No text adds an element."""
    among = Axis(0, 1, [(0, HOSTILE)], HOSTILE)
    svg = draw(
        HOSTILE,
        among,
        [Curve("area", HOSTILE, [(0, 1)]), Curve("bad", HOSTILE, [(0, 1)])],
        vertical=HOSTILE,
        bands=[Band(0, 1, "gap", HOSTILE, HOSTILE, HOSTILE)],
        hovers=[Hover(0, 1, HOSTILE)],
    )
    root = ElementTree.fromstring(svg)  # the text comes from this test
    assert {element.tag for element in root.iter()} == {"svg", "g", "line", "path", "rect", "text", "title"}
    assert root.attrib["aria-label"] == HOSTILE
    assert texts(root, "legend area") == texts(root, "axis horizontal") == texts(root, "label gap") == [HOSTILE]


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
