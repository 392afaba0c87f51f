"""When a run started, stopped and paused is kept over all its executions, however they ended."""

from pathlib import Path

from batchrun.checkpoint.history import ExecutionTimes, PauseTimes, running_s
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store


def history_of(directory: Path, *, is_running: bool = False) -> list[ExecutionTimes]:
    with Checkpoint(directory) as checkpoint:
        return checkpoint.executions(is_running=is_running)


def test_a_run_that_was_never_sent_has_no_executions(tmp_path: Path) -> None:
    with Store(tmp_path):
        pass
    assert history_of(tmp_path) == []


def test_an_execution_has_its_times_its_state_and_its_pauses(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.paused("a", "timeout", 2000, "no answer in time")
        store.history.paused("b", "unreachable", 2500)
        store.history.resumed("a", 3000)
        store.history.paused("a", "timeout", 4000)
        store.history.end_execution(5000, "stopped", "the deadline")
    with Store(tmp_path) as store:
        store.history.begin_execution(9000)
        store.history.end_execution(9500, "completed")
    assert history_of(tmp_path) == [
        ExecutionTimes(
            1000,
            5000,
            "stopped",
            (
                PauseTimes("a", "timeout", 2000, 3000, "no answer in time"),
                PauseTimes("b", "unreachable", 2500, 5000),
                PauseTimes("a", "timeout", 4000, 5000),
            ),
            "the deadline",
        ),
        ExecutionTimes(9000, 9500, "completed", ()),
    ]


def test_an_execution_without_an_end_has_died_unless_it_runs(tmp_path: Path) -> None:
    """Only the last one can be running. Its pauses have no end either, and the next execution leaves them alone."""
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000)
    assert history_of(tmp_path) == [ExecutionTimes(1000, None, "died", (PauseTimes("m", "timeout", 2000, None),))]
    with Store(tmp_path) as store:
        store.history.begin_execution(5000)
        store.history.resumed("m", 6000)
    assert [each.state for each in history_of(tmp_path, is_running=True)] == ["died", "running"]
    assert [each.state for each in history_of(tmp_path)] == ["died", "died"]
    assert history_of(tmp_path)[0].pauses == (PauseTimes("m", "timeout", 2000, None),)


def test_a_running_execution_counts_until_now_and_a_dead_one_until_it_was_last_seen(tmp_path: Path) -> None:
    """The time between executions does not count."""
    with Store(tmp_path) as store:
        store.history.begin_execution(1_000)
        store.history.seen(6_000)
        store.history.seen(11_000)
    with Store(tmp_path) as store:
        store.history.begin_execution(1_000_000)
        store.history.end_execution(1_002_000, "stopped")
    with Store(tmp_path) as store:
        store.history.begin_execution(2_000_000)
    executions = history_of(tmp_path, is_running=True)
    assert [each.running_ms(2_000_500) for each in executions] == [10_000, 2_000, 500]
    assert running_s(executions, 2_000_500) == 12.5
    assert running_s(history_of(tmp_path), 2_000_500) == 12.0
