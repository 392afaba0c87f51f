"""The counts behind the plots of the report."""

from typing import Any

import pytest

from batchrun.report.clock import Gap
from batchrun.report.tally import tally


def test_rows_are_counted_at_the_time_they_were_settled(write_results: Any) -> None:
    """Completed and failed rows are counted separately."""
    rows = [{"finished_at": 1000 * second} for second in range(1, 25)]
    rows[3] |= {"status": "failed", "latency_s": None}
    timeline = tally(write_results(*rows), failed_rows=9).timeline
    assert timeline is not None
    assert (sum(timeline.completed), sum(timeline.failed)) == (23, 1)
    assert (timeline.clock.start_ms, timeline.clock.end_ms) == (500, 24_000)


def test_the_numbers_of_the_first_input_rows_with_a_failure_are_kept(write_results: Any) -> None:
    """Their number is limited."""
    rows = [{"row": 5 + number // 2, "status": "failed" if number % 3 else "completed"} for number in range(12)]
    assert tally(write_results(*rows), failed_rows=3).failed_rows == [5, 6, 7]


def test_the_timeline_has_the_outages_at_both_ends(write_results: Any) -> None:
    """In which nothing was answered."""
    found = tally(write_results({"finished_at": 5_000}), failed_rows=0, spans=[(1_000, 6_000), (8_000, 30_000)])
    assert found.timeline is not None
    assert (found.timeline.clock.start_ms, found.timeline.clock.end_ms) == (1_000, 30_000)


def test_without_rows_there_is_no_timeline(write_results: Any) -> None:
    """As in a run that has just started."""
    found = tally(write_results(), failed_rows=5)
    assert (found.rows, found.timeline) == (0, None)


def test_each_model_has_its_latencies_tokens_reasons_and_times(write_results: Any) -> None:
    """Rows without a model were never sent: they belong to none."""
    rows = [
        {"model": "fast", "finished_at": 1_000, "latency_s": 0.5, "finish_reason": "stop"},
        {"model": "slow", "finished_at": 9_000, "latency_s": 4.0, "finish_reason": "length"},
        {"model": "slow", "finished_at": 5_000, "latency_s": 2.0},
        {"model": "slow", "finished_at": 7_000, "latency_s": 600.0, "status": "failed", "completion_tokens": None},
        {"model": "", "status": "failed", "latency_s": None},
    ]
    found = tally(write_results(*rows), failed_rows=0)
    assert list(found.models) == ["fast", "slow"]
    slow = found.models["slow"]
    assert (slow.rows, slow.completion_tokens, slow.latency_s.count) == (3, 10, 2)
    assert slow.finish_reasons == {"length": 1, "none": 1}
    assert slow.latency_s.quantile(1) == pytest.approx(4, rel=0.0025)
    assert found.latency_s.count == 3


def test_the_time_of_a_model_is_without_the_gaps_between_executions(write_results: Any) -> None:
    """It is what its throughput is divided by."""
    rows = [{"finished_at": at, "latency_s": 1.0} for at in (2_000, 3_000, 100_000, 101_000)]
    found = tally(write_results(*rows), failed_rows=0, gaps=[Gap(3_000, 98_000)])
    assert found.running_s(found.models["m"]) == pytest.approx(5.0)


def test_each_endpoint_of_several_has_its_rows_and_its_times(write_results: Any) -> None:
    """On the axis of the run; what was never sent belongs to none."""
    rows = [{"finished_at": 1000 * second, "endpoint": "east" if second % 3 else "west"} for second in range(1, 25)]
    rows[4] |= {"status": "failed", "endpoint": None, "latency_s": None}
    rows[6] |= {"status": "failed"}
    found = tally(write_results(*rows), failed_rows=0, has_endpoints=True)
    counts = {
        name: (its.rows.rows, sum(its.timeline.completed), sum(its.timeline.failed))
        for name, its in found.endpoints.items()
    }
    assert counts == {"east": (15, 14, 1), "west": (8, 8, 0)}
    assert found.timeline is not None
    assert {its.timeline.width_ms for its in found.endpoints.values()} == {found.timeline.width_ms}
    assert tally(write_results(*rows), failed_rows=0).endpoints == {}


def test_prompts_are_counted_over_all_batches(write_results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to one prompt may be in two batches."""
    monkeypatch.setattr("batchrun.report.tally._BATCH_ROWS", 10)
    path = write_results(*({"row": number // 3} for number in range(99)))
    assert tally(path, failed_rows=0).prompts == 33


def test_a_gap_begins_after_the_last_answer_of_a_process_that_died(write_results: Any) -> None:
    """It was seen for the last time some seconds before; its last answers are not drawn as a rush in the gap."""
    rows = [{"finished_at": at, "latency_s": 0.5} for at in (1_000, 9_000, 13_000, 99_000, 100_000)]
    timeline = tally(write_results(*rows), failed_rows=0, gaps=[Gap(9_500, 98_000)]).timeline
    assert timeline is not None
    assert timeline.clock.gaps == [Gap(13_000, 98_000)]
