"""When a run started, stopped and paused is kept over all its executions, however they ended."""

from pathlib import Path

import pytest
from harness.checkpoints import answer, requests

from batchrun.checkpoint import execution_log, history
from batchrun.checkpoint.history import ExecutionTimes, PauseTimes, paused_s, running_s
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.records import AnswerSource, ModelTotals, Usage
from batchrun.storage.processes import Machine


def history_of(directory: Path, *, is_running: bool = False) -> list[ExecutionTimes]:
    with Checkpoint(directory) as checkpoint:
        return checkpoint.executions(is_running=is_running)


def test_a_run_that_was_never_sent_has_no_executions(tmp_path: Path) -> None:
    with Store(tmp_path):
        pass
    assert history_of(tmp_path) == []


def test_an_execution_that_begins_is_on_record_before_anything_can_show_that_it_runs(tmp_path: Path) -> None:
    """Else the killed one before it would be shown as the running one until the next commit."""
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
    with Store(tmp_path) as store:
        store.history.begin_execution(5000)
        store.start(lambda rows: None, lambda problem: None)
        with Checkpoint(tmp_path) as checkpoint:
            states = [(each.started_at_ms, each.state) for each in checkpoint.executions(is_running=True)]
    assert states == [(1000, "died"), (5000, "running")]


def test_an_execution_has_its_times_its_state_and_its_pauses(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.paused("a", "timeout", 2000, "no answer in time")
        store.history.paused("b", "unreachable", 2500)
        store.history.resumed_after("a", 1000)
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
            ended_by="stopped",
            settled={},
        ),
        ExecutionTimes(9000, 9500, "completed", (), ended_by="done", settled={}),
    ]


def test_an_execution_without_an_end_has_died_unless_it_runs(tmp_path: Path) -> None:
    """Only the last one can be running. Its pauses have no end either, and the next execution leaves them alone."""
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000)
    pauses = (PauseTimes("m", "timeout", 2000, None),)
    assert history_of(tmp_path) == [ExecutionTimes(1000, None, "died", pauses, ended_by="killed", settled={})]
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


def test_the_time_in_pauses_counts_once_where_pauses_of_models_overlap(tmp_path: Path) -> None:
    """A pause without an end lasts as long as its execution."""
    with Store(tmp_path) as store:
        store.history.begin_execution(0)
        store.history.paused("a", "timeout", 1_000)
        store.history.paused("b", "timeout", 2_000)
        store.history.resumed("b", 3_000)
        store.history.resumed("a", 4_000)
        store.history.paused("b", "timeout", 6_000)
        store.history.seen(10_000)
    with Store(tmp_path) as store:
        store.history.begin_execution(50_000)
        store.history.paused("a", "timeout", 51_000)
        store.history.end_execution(53_000, "stopped")
    assert paused_s(history_of(tmp_path), 60_000) == (3 + 4) + 2


def machines(monkeypatch: pytest.MonkeyPatch, *each: Machine) -> None:
    """Let the history be written and read on these machines, one after the other."""
    following = iter(each)
    for module in (execution_log, history):
        monkeypatch.setattr(module, "this_machine", lambda: next(following))


HERE, RESTARTED, ELSEWHERE = Machine("a", "boot 1"), Machine("a", "boot 2"), Machine("b", "boot 3")


@pytest.mark.parametrize(
    ("looked_at", "ended_by"),
    [(HERE, "killed"), (RESTARTED, "restarted"), (ELSEWHERE, "died"), (Machine(), "died")],
    ids=["killed", "restarted", "elsewhere", "unknown"],
)
def test_a_restart_of_the_machine_is_not_taken_for_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: Machine, ended_by: str
) -> None:
    """On another machine it cannot be known."""
    machines(monkeypatch, HERE, looked_at)
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
    (execution,) = history_of(tmp_path)
    assert (execution.state, execution.ended_by) == ("died", ended_by)


def test_a_kill_stays_a_kill_when_the_machine_is_restarted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next execution ran before the restart."""
    machines(monkeypatch, HERE, HERE, RESTARTED)
    for _ in range(2):
        with Store(tmp_path) as store:
            store.history.begin_execution(1000)
    assert [each.ended_by for each in history_of(tmp_path)] == ["killed", "restarted"]


def test_what_ended_an_execution_is_noted(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.end_execution(2000, "interrupted", "the answers were kept", "SIGTERM")
    assert [each.ended_by for each in history_of(tmp_path)] == ["SIGTERM"]


def settle(directory: Path, *rows: int, ends: bool) -> None:
    """Settle these rows in an execution that ends or dies."""
    with Store(directory) as store:
        store.history.begin_execution(1000, store.totals)
        store.model_id("m")
        for row in rows:
            (request,) = requests("a")
            store.put(answer(request)._replace(row=row, attempts=2, usage=Usage(3, 4, 7)))
        store.attempted("m", 5, 0)
        if ends:
            store.history.end_execution(2000, "completed")


def sums_of(directory: Path) -> list[tuple[int, int, int] | None]:
    """The rows, attempts and tokens of each execution."""
    found = []
    for each in history_of(directory):
        sums = None if each.settled is None else each.settled.get(AnswerSource("m"), ModelTotals())
        found.append(None if sums is None else (sums.requests, sums.attempts, sums.total_tokens))
    return found


def test_each_execution_has_what_it_settled_also_after_it_died(tmp_path: Path) -> None:
    """Also where rows left the results before the next one began."""
    settle(tmp_path, 0, 1, 2, ends=False)
    assert sums_of(tmp_path) == [(3, 11, 21)]
    settle(tmp_path, 3, 4, ends=True)
    with Store(tmp_path) as store:  # refused: it begins no execution
        store.connection.execute("DELETE FROM outcomes WHERE id >> 24 > 0")
        store.connection.execute("UPDATE totals SET completed = 1")
    settle(tmp_path, 5, ends=True)
    assert sums_of(tmp_path) == [(3, 11, 21), (2, 9, 14), (1, 7, 7)]


def test_an_execution_of_an_older_version_has_no_such_figures(tmp_path: Path) -> None:
    """They are unknown, and not zero. The next one has them."""
    settle(tmp_path, 0, ends=True)
    with Store(tmp_path) as store:
        store.connection.execute("DELETE FROM execution_totals")
    assert sums_of(tmp_path) == [None]
    assert history_of(tmp_path)[0].ended_by == "done"
    settle(tmp_path, 1, ends=True)
    assert sums_of(tmp_path) == [None, (1, 7, 7)]


@pytest.mark.parametrize("damaged", ["[", "[1]", '{"m": {"completed": "x"}}', '{"m": {"unknown": 1}}', "{"])
def test_figures_that_cannot_be_read_are_unknown(tmp_path: Path, damaged: str) -> None:
    settle(tmp_path, 0, ends=True)
    with Store(tmp_path) as store:
        store.connection.execute("UPDATE execution_totals SET began_with = ?", (damaged,))
    assert sums_of(tmp_path) == [None]
