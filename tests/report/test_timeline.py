"""Rows by the time they were settled."""

import pyarrow as pa
import pytest

from batchrun.report.clock import Clock, Gap
from batchrun.report.timeline import Timeline


def timeline_of(*flights: tuple[float, float], until_s: float = 24, gaps: tuple[Gap, ...] = ()) -> Timeline:
    """Return the timeline of requests, each with start and end in seconds."""
    timeline = Timeline(Clock(0, 1000 * until_s, gaps), len(flights))
    ended_ms = pa.array([1000.0 * end for _, end in flights])
    timeline.add(
        ended_ms, pa.array([1000.0 * (end - start) for start, end in flights]), pa.array([False] * len(flights))
    )
    return timeline


def test_requests_in_flight_are_averaged_over_time() -> None:
    """Two requests run all the time, and a third one in the first half."""
    assert timeline_of((0, 24), (0, 24), (0, 12)).in_flight == pytest.approx([3.0] * 12 + [2.0] * 12)


def test_a_request_shorter_than_a_point_counts_for_its_part_of_it() -> None:
    """A request that is in flight for a tenth of the time is a tenth of a request."""
    timeline = timeline_of((0, 24), (5.5, 5.6))
    assert timeline.in_flight[5] == pytest.approx(1.1)
    assert sum(timeline.in_flight) == pytest.approx(24.1)


def test_rows_are_counted_where_the_shortened_axis_shows_their_time() -> None:
    """Two executions of ten seconds, a day apart: each gets nearly half of the bins."""
    timeline = timeline_of((0, 10), (86_400, 86_410), until_s=86_410, gaps=(Gap(10_000, 86_400_000),))
    assert timeline.width_ms * timeline.bins == pytest.approx(21_600), "the gap takes 8 % of the running time"
    busy = [value > 0.5 for value in timeline.in_flight]
    assert busy == [True] * 11 + [False] * 2 + [True] * 11
    assert [number for number, count in enumerate(timeline.completed) if count] == [11, 23]


@pytest.mark.parametrize(("at_ms", "number"), [(-5, 0), (0, 0), (1_500, 1), (24_000, 23), (99_000, 23)])
def test_a_moment_outside_the_axis_counts_at_its_end(at_ms: float, number: int) -> None:
    assert timeline_of((0, 24)).bin_of(at_ms) == number
