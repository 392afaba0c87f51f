"""What the report's plots are made of."""

from typing import Any

import pyarrow as pa
import pytest

from batchrun.report.tally import Distribution, tally


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)])
def test_quantiles_are_within_a_quarter_of_a_percent(share: float, value: float) -> None:
    """Whatever the number of values, in little memory."""
    part = Distribution()
    part.add(pa.array(range(1, 101)))
    assert part.quantile(share) == pytest.approx(value, rel=0.0025)


def test_nulls_are_no_values_and_zeros_are_the_least() -> None:
    """A token count that was not stated is not zero."""
    part = Distribution()
    part.add(pa.array([None, 0, 0, 0, 7]))
    assert part.count == 4
    assert part.quantile(0.5) == 0
    assert part.quantile(1.0) == pytest.approx(7, rel=0.0025)


def test_integers_make_no_comb() -> None:
    """One value of each: columns of equal width on a logarithmic scale grow evenly, and miss none."""
    part = Distribution(is_whole=True)
    part.add(pa.array(range(10, 101)))
    low, high = part.spread() or (0, 0)
    counts = part.columns([low + (high - low) * number / 20 for number in range(21)])
    assert sum(counts) == pytest.approx(91)
    assert counts == sorted(counts)


def test_no_values_have_no_quantiles() -> None:
    """And nothing to draw."""
    assert Distribution().quantile(0.5) == 0
    assert Distribution().spread() is None


def test_rows_are_counted_when_they_were_settled(write_results: Any) -> None:
    """Completed and failed apart."""
    rows = [{"finished_at": 1000 * second} for second in range(1, 25)]
    rows[3] |= {"status": "failed", "latency_s": None}
    timeline = tally(write_results(*rows), failed_rows=9).timeline
    assert timeline is not None
    assert (sum(timeline.completed), sum(timeline.failed)) == (23, 1)
    assert timeline.start_ms == 500
    assert timeline.seconds == pytest.approx(23.5)


def test_in_flight_is_the_time_for_which_requests_ran(write_results: Any) -> None:
    """Two all the time, and a third for half of it: on average of the whole that is what comes out."""
    rows = [{"finished_at": 24_000, "latency_s": 24.0}] * 2 + [{"finished_at": 12_000, "latency_s": 12.0}]
    timeline = tally(write_results(*rows), failed_rows=0).timeline
    assert timeline is not None
    assert timeline.in_flight == pytest.approx([3.0] * 12 + [2.0] * 12)


def test_a_request_shorter_than_a_point_counts_for_its_part_of_it(write_results: Any) -> None:
    """A tenth of the time in flight is a tenth of a request."""
    rows = [{"finished_at": 24_000, "latency_s": 24.0}, {"finished_at": 5_600, "latency_s": 0.1}]
    timeline = tally(write_results(*rows), failed_rows=0).timeline
    assert timeline is not None
    assert timeline.in_flight[5] == pytest.approx(1.1)
    assert sum(timeline.in_flight) == pytest.approx(24.1)


def test_positions_of_the_first_failed_rows_are_remembered(write_results: Any) -> None:
    """No more of them than asked for."""
    rows = [{"status": "failed" if number % 3 == 0 else "completed"} for number in range(12)]
    assert tally(write_results(*rows), failed_rows=3).failed_rows == [0, 3, 6]


def test_no_rows_have_no_time(write_results: Any) -> None:
    """As of a run that has just begun."""
    found = tally(write_results(), failed_rows=5)
    assert (found.rows, found.timeline) == (0, None)
