"""Plots of a tally."""

import re
from typing import Any

from batchrun.report.plots import LimitPoint, figures
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
        "Latency of completed rows, seconds",
        "Tokens per row",
    ]
    rate, flight, latency, tokens = plots
    assert {"series area", "series bad"} <= classes(rate.svg)
    assert {"series area", "series limit", "series throttled"} <= classes(flight.svg)
    assert "last limit 6; 7 throttled requests" in flight.note
    assert latency.note == "median 3.1, 90 % up to 4.7, 99 % up to 4.99 s"
    assert "completion: median 5" in tokens.note


def classes(svg: str) -> set[str]:
    """Return the classes of the elements of an SVG."""
    return set(re.findall(r'class="([^"]*)"', svg))


def test_a_limit_with_too_few_points_is_not_drawn(write_results: Any) -> None:
    """The limit is recorded once per second, so its line would be wrong in a run of one second."""
    found = tally(write_results({"finished_at": 1_000}, {"finished_at": 1_400}), failed_rows=0)
    _, flight, *_ = figures(found, [LimitPoint(0, 8)], {})
    assert "limit" not in flight.note


def test_without_values_there_are_no_plots_of_latency_and_tokens(write_results: Any) -> None:
    """Rows that were not sent have no latency and no tokens."""
    bad = {"status": "failed", "latency_s": None, "prompt_tokens": None, "completion_tokens": None}
    found = tally(write_results(bad, bad), failed_rows=0)
    assert [plot.title for plot in figures(found, [], {})] == ["Rows per second"]
    empty = tally(write_results(), failed_rows=0)
    assert figures(empty, [], {}) == []
