"""Plots of a tally."""

import re
from typing import Any

from batchrun.report.plots import LimitPoint, figures
from batchrun.report.tally import tally


def test_there_is_a_plot_of_rates_requests_in_flight_latency_and_tokens(write_results: Any) -> None:
    """Each with a line of text that gives its main numbers."""
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
    """Return the classes of an SVG's parts."""
    return set(re.findall(r'class="([^"]*)"', svg))


def test_a_limit_whose_history_is_coarser_than_the_plot_is_not_drawn(write_results: Any) -> None:
    """The limit is noted once a second: in a run of one second a line would mislead."""
    found = tally(write_results({"finished_at": 1_000}, {"finished_at": 1_400}), failed_rows=0)
    _, flight, *_ = figures(found, [LimitPoint(0, 8)], {})
    assert "limit" not in flight.note


def test_values_that_no_row_has_get_no_plot(write_results: Any) -> None:
    """Rows that were never sent have neither latency nor tokens."""
    bad = {"status": "failed", "latency_s": None, "prompt_tokens": None, "completion_tokens": None}
    found = tally(write_results(bad, bad), failed_rows=0)
    assert [plot.title for plot in figures(found, [], {})] == ["Rows per second"]
    empty = tally(write_results(), failed_rows=0)
    assert figures(empty, [], {}) == []
