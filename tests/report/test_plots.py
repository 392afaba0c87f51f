"""Plots of a tally."""

import re
from datetime import UTC, datetime
from typing import Any

from batchrun.report.plots import LimitPoint, endpoint_figures, figures
from batchrun.report.svg import Band
from batchrun.report.tally import tally


def test_rates_requests_in_flight_latency_and_tokens_have_plots(write_results: Any) -> None:
    """Each plot has a line of text with its main numbers."""
    rows = [{"finished_at": 2_000 * number, "latency_s": 1.0 + number / 10} for number in range(1, 41)]
    rows[5] |= {"status": "failed"}
    found = tally(write_results(*rows), failed_rows=0)
    plots = figures(found, [LimitPoint(0, 8), LimitPoint(30_000, 6)], {3: 7})
    assert [plot.title for plot in plots] == [
        "Rows per second",
        "Requests in flight",
        "Latency of completed rows",
        "Tokens per row",
    ]
    rate, flight, latency, tokens = plots
    assert {"series area", "series bad"} <= classes(rate.svgs[0])
    assert {"series area", "series limit", "series throttled"} <= classes(flight.svgs[0])
    assert "last limit 6; 7 throttled requests" in flight.note
    assert latency.note == "median 3.1, 90 % up to 4.7, 99 % up to 4.99 s"
    assert "completion: median 5" in tokens.note


def classes(svg: str) -> set[str]:
    """Return the classes of the elements of an SVG."""
    return set(re.findall(r'class="([^"]*)"', svg))


def test_a_limit_with_too_few_points_is_not_drawn(write_results: Any) -> None:
    """The limit is recorded once per second, so its line would be wrong in a run of one second."""
    found = tally(write_results(*({"finished_at": 1_000 + 40 * number} for number in range(11))), failed_rows=0)
    _, flight, *_ = figures(found, [LimitPoint(0, 8)], {})
    assert "limit" not in flight.note


def test_without_values_there_are_no_plots_of_latency_and_tokens(write_results: Any) -> None:
    """Rows that were not sent have no latency and no tokens."""
    bad = {"status": "failed", "latency_s": None, "prompt_tokens": None, "completion_tokens": None}
    found = tally(write_results(*[bad] * 10), failed_rows=0)
    assert [plot.title for plot in figures(found, [], {})] == ["Rows per second"]


def test_few_rows_have_no_plots(write_results: Any) -> None:
    """The table of rows shows them better."""
    assert figures(tally(write_results(*[{}] * 9), failed_rows=0), [], {}) == []
    assert figures(tally(write_results(), failed_rows=0), [], {}) == []


def hovers(svg: str) -> list[str]:
    """Return the texts that are shown next to the pointer."""
    [group] = re.findall(r'<g class="hover">(.*?)</g>', svg, re.DOTALL)
    return re.findall(r"<title>(.*?)</title>", group, re.DOTALL)


def test_the_values_next_to_the_pointer_are_those_of_the_results(write_results: Any) -> None:
    """They have the clock time, and add up to all rows."""
    start_ms = 1_795_900_000_000
    rows = [{"finished_at": start_ms + 1_000 * number, "latency_s": 1.0} for number in range(1, 241)]
    rows[5] |= {"status": "failed"}
    found = tally(write_results(*rows), failed_rows=0)
    rate, flight, latency, _ = figures(found, [], {3: 7}, bands=[Band(70, 90, "pause", "a pause", "1", "why")])
    completed = sum(int(re.findall(r"(\d+) completed", text)[0]) for text in hovers(rate.svgs[0]))
    failed = sum(int(count) for text in hovers(rate.svgs[0]) for count in re.findall(r"(\d+) failed", text))
    assert (completed, failed) == (239, 1)
    first = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone()
    assert hovers(rate.svgs[0])[0].startswith(f"{first:%H:%M:%S} – ")
    assert [number for number, text in enumerate(hovers(rate.svgs[0])) if "why" in text] == [7, 8]
    assert hovers(flight.svgs[0])[3].endswith("1 in flight, 7 throttled")
    spread = [int(re.findall(r"about (\d+)", text)[0]) for text in hovers(latency.svgs[0])]
    assert abs(sum(spread) - 239) <= len(spread) / 2, "columns are not the bins that were counted in"
    assert len(rate.svgs) == 2, "one for phones"


def test_the_mean_rate_does_not_count_the_time_between_executions(write_results: Any) -> None:
    """Ten rows in five seconds, an hour without a process, and ten rows in five seconds."""
    times_ms = [500 * number for number in range(1, 11)]
    rows = [
        {"finished_at": at, "latency_s": 0.4} for start in (0, 3_600_000) for at in (start + each for each in times_ms)
    ]
    rate, *_ = figures(tally(write_results(*rows), failed_rows=0), [], {}, running_s=10.0)
    assert rate.note.startswith("2 rows per second on average while it ran, ")


def test_the_most_in_flight_is_named_a_mean_and_is_not_above_the_limit(write_results: Any) -> None:
    """Latencies are rounded to milliseconds: two requests one after the other seem to overlap."""
    rows = [{"finished_at": 1_000 + 100 * number, "latency_s": 0.103} for number in range(1, 200)]
    found = tally(write_results(*rows), failed_rows=0)
    assert found.timeline is not None
    assert max(found.timeline.in_flight) > 1
    _, flight, *_ = figures(found, [LimitPoint(0, 1)], {})
    assert flight.note.startswith("on average 1 in flight in the busiest ")


def test_each_endpoint_has_a_plot_of_what_was_in_flight_there(write_results: Any) -> None:
    """With its own limit and its own outages; an endpoint with few rows has none."""
    rows = [{"finished_at": 2_000 * number, "endpoint": "east" if number % 3 else "west"} for number in range(1, 41)]
    rows[7] |= {"endpoint": "north"}
    found = tally(write_results(*rows), failed_rows=0, has_endpoints=True)
    timelines = {name: its.timeline for name, its in found.endpoints.items()}
    limits = {"east": [LimitPoint(0, 8), LimitPoint(30_000, 6)], "west": [LimitPoint(0, 3)]}
    away = Band(20, 40, "pause", "2: west away 20 s", "2", "2: west away 20 s: timeout")
    east, west = endpoint_figures(timelines, limits, {"west": [away]})
    assert (east.title, west.title) == ("east", "west")
    assert ("last limit 6" in east.note, "last limit 3" in west.note) == (True, True)
    assert "band pause" in classes(west.svgs[0])
    assert "band pause" not in classes(east.svgs[0])
    assert any("1 completed" in text and "west away" in text for text in hovers(west.svgs[0]))
