"""The counts behind the plots of the report."""

from typing import Any

import pyarrow as pa
import pytest

from batchrun.report.tally import Distribution, tally


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)])
def test_quantiles_are_within_a_quarter_of_a_percent(share: float, value: float) -> None:
    """For any number of values, with little memory."""
    part = Distribution()
    part.add(pa.array(range(1, 101)))
    assert part.quantile(share) == pytest.approx(value, rel=0.0025)


def test_nulls_are_ignored_and_zero_is_the_minimum() -> None:
    """A token count that the server did not state is not zero."""
    part = Distribution()
    part.add(pa.array([None, 0, 0, 0, 7]))
    assert part.count == 4
    assert part.quantile(0.5) == 0
    assert part.quantile(1.0) == pytest.approx(7, rel=0.0025)


def test_a_histogram_of_integers_has_no_gaps() -> None:
    """Each integer occurs once, so columns of equal width on a logarithmic scale grow evenly."""
    part = Distribution(is_whole=True)
    part.add(pa.array(range(10, 101)))
    low, high = part.spread() or (0, 0)
    counts = part.columns([low + (high - low) * number / 20 for number in range(21)])
    assert sum(counts) == pytest.approx(91)
    assert counts == sorted(counts)


def test_without_values_there_are_no_quantiles() -> None:
    """There is no histogram either."""
    assert Distribution().quantile(0.5) == 0
    assert Distribution().spread() is None


def test_rows_are_counted_at_the_time_they_were_settled(write_results: Any) -> None:
    """Completed and failed rows are counted separately."""
    rows = [{"finished_at": 1000 * second} for second in range(1, 25)]
    rows[3] |= {"status": "failed", "latency_s": None}
    timeline = tally(write_results(*rows), failed_rows=9).timeline
    assert timeline is not None
    assert (sum(timeline.completed), sum(timeline.failed)) == (23, 1)
    assert timeline.start_ms == 500
    assert timeline.seconds == pytest.approx(23.5)


def test_requests_in_flight_are_averaged_over_time(write_results: Any) -> None:
    """Two requests run all the time, and a third one in the first half."""
    rows = [{"finished_at": 24_000, "latency_s": 24.0}] * 2 + [{"finished_at": 12_000, "latency_s": 12.0}]
    timeline = tally(write_results(*rows), failed_rows=0).timeline
    assert timeline is not None
    assert timeline.in_flight == pytest.approx([3.0] * 12 + [2.0] * 12)


def test_a_request_shorter_than_a_point_counts_for_its_part_of_it(write_results: Any) -> None:
    """A request that is in flight for a tenth of the time is a tenth of a request."""
    rows = [{"finished_at": 24_000, "latency_s": 24.0}, {"finished_at": 5_600, "latency_s": 0.1}]
    timeline = tally(write_results(*rows), failed_rows=0).timeline
    assert timeline is not None
    assert timeline.in_flight[5] == pytest.approx(1.1)
    assert sum(timeline.in_flight) == pytest.approx(24.1)


def test_the_positions_of_the_first_failed_rows_are_kept(write_results: Any) -> None:
    """Their number is limited."""
    rows = [{"status": "failed" if number % 3 == 0 else "completed"} for number in range(12)]
    assert tally(write_results(*rows), failed_rows=3).failed_rows == [0, 3, 6]


def test_without_rows_there_is_no_timeline(write_results: Any) -> None:
    """As in a run that has just started."""
    found = tally(write_results(), failed_rows=5)
    assert (found.rows, found.timeline) == (0, None)
