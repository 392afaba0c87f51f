"""An endpoint of several that is away is noted as such; the model pauses only when no other one is left."""

from pathlib import Path

from batchrun.checkpoint.history import ExecutionTimes, PauseTimes
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store


def execution_in(directory: Path) -> ExecutionTimes:
    with Checkpoint(directory) as checkpoint:
        (execution,) = checkpoint.executions(is_running=False)
    return execution


def begun(store: Store, *endpoints: str) -> None:
    store.history.reachable.serving = lambda model: endpoints
    store.history.begin_execution(1_000)


def test_one_endpoint_of_two_that_is_away_pauses_nothing(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        begun(store, "east", "west")
        store.history.paused("m", "timeout", 2_000, "no answer", "east")
        store.history.resumed_after("m", 1_000, "east")
        store.history.paused("m", "http_503", 4_000, "busy", "west")
        store.history.end_execution(5_000, "stopped")
    execution = execution_in(tmp_path)
    assert execution.pauses == ()
    assert execution.endpoint_pauses == (
        PauseTimes("m", "timeout", 2_000, 3_000, "no answer", "east"),
        PauseTimes("m", "http_503", 4_000, 5_000, "busy", "west"),
    )


def test_the_run_is_paused_while_both_are_away(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        begun(store, "east", "west")
        store.history.paused("m", "timeout", 2_000, "no answer", "east")
        store.history.paused("m", "http_503", 3_000, "busy", "west")
        store.history.resumed("m", 4_500, "east")
        store.history.resumed("m", 5_000, "west")
        store.history.end_execution(6_000, "completed")
    execution = execution_in(tmp_path)
    assert execution.pauses == (PauseTimes("m", "http_503", 3_000, 4_500, "busy"),)
    assert execution.paused_ms(6_000) == 1_500


def test_an_endpoint_that_is_closed_stays_away_until_the_end(tmp_path: Path) -> None:
    """Then the other one is all there is; when both are closed, the model waits for nothing."""
    with Store(tmp_path) as store:
        begun(store, "east", "west")
        store.history.paused("m", "timeout", 2_000, "no answer", "east")
        store.history.closed("m", 3_000, "the key is refused", "east")
        store.history.paused("m", "http_503", 4_000, "busy", "west")
        store.history.closed("m", 5_000, "away for too long", "west")
        store.history.end_execution(6_000, "stopped")
    execution = execution_in(tmp_path)
    assert execution.endpoint_pauses == (
        PauseTimes("m", "timeout", 2_000, 3_000, "no answer", "east"),
        PauseTimes("m", "closed", 3_000, 6_000, "the key is refused", "east"),
        PauseTimes("m", "http_503", 4_000, 5_000, "busy", "west"),
        PauseTimes("m", "closed", 5_000, 6_000, "away for too long", "west"),
    )
    assert execution.pauses == (PauseTimes("m", "http_503", 4_000, 5_000, "busy"),)


def test_the_pauses_of_endpoints_end_with_an_execution_that_could_not_note_it(tmp_path: Path) -> None:
    """Those of one that died have no end."""
    with Store(tmp_path) as store:
        begun(store, "east", "west")
        store.history.paused("m", "timeout", 2_000, endpoint="east")
    assert [each.ended_at_ms for each in execution_in(tmp_path).endpoint_pauses] == [None]


def test_the_only_endpoint_is_closed_without_a_pause(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.history.begin_execution(1_000)
        store.history.paused("m", "timeout", 2_000)
        store.history.closed("m", 3_000, "refused")
        store.history.end_execution(4_000, "stopped")
    execution = execution_in(tmp_path)
    assert (execution.pauses, execution.endpoint_pauses) == ((PauseTimes("m", "timeout", 2_000, 3_000),), ())
