"""The state of a run, read by another process."""

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.settled import TWO_ENDPOINTS, body_of, settle

from batchrun.checkpoint import facts
from batchrun.checkpoint.in_flight import Journal
from batchrun.checkpoint.store import Store
from batchrun.cli.texts import counts_lines
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.records import EndpointFigures, Usage, WorkerFigures
from batchrun.results.export import export
from batchrun.results.identity import note_requests
from batchrun.results.state import figures_of, is_fresh, is_running, judge_entry, summary_of
from batchrun.storage.processes import this_machine

OUT = Path("out")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)


def settled_run(**run_json: Any) -> None:
    """Write a run with one completed and one failed row, and a run.json with these values."""
    failed = {"kind": "bad_request", "error": "no", "http_status": 400, "body": None}
    settle([{"prompt": "a"}, {"prompt": "b"}], lambda request: failed if request.row else "yes")
    if run_json:
        (OUT / "run.json").write_text(json.dumps(run_json))


def dead_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_counts_come_from_the_checkpoint_and_the_status_from_run_json() -> None:
    """Counts in run.json may be old."""
    ended = {"exit_code": 1, "message": "m", "duration_s": 2.5, "newly_settled": 2}
    settled_run(state="completed", completed=99, **ended)
    summary = summary_of(OUT)
    assert (summary.completed, summary.failed, summary.rows) == (1, 1, 2)
    assert (summary.state, summary.exit_code, summary.message) == ("completed", 1, "m")
    assert (summary.duration_s, summary.newly_settled, summary.pid) == (2.5, 2, None)
    assert summary.failures == [{"kind": "bad_request", "rows": 1, "example": "no"}]


def test_notes_about_answers_are_those_of_all_answers_or_none() -> None:
    """Rows may have been settled since the results were written."""
    settled_run(state="completed")
    export(OUT)
    assert [each["completed"] for each in summary_of(OUT).answers] == [1]
    (OUT / "checkpoint.sqlite").unlink()
    settle([{"prompt": "c"}, {"prompt": "d"}, {"prompt": "e"}], lambda _: "yes")
    assert summary_of(OUT).answers == []


def test_a_run_without_run_json_is_stopped() -> None:
    """Its process died before it wrote one."""
    settled_run()
    assert (summary_of(OUT).state, is_running(OUT)) == ("stopped", False)


def test_a_run_whose_process_is_alive_is_running() -> None:
    """The state has the id of the process."""
    settled_run(state="running", pid=os.getpid())
    assert (summary_of(OUT).state, summary_of(OUT).pid, is_running(OUT)) == ("running", os.getpid(), True)


def test_a_run_whose_process_has_died_is_stopped_and_can_be_resumed() -> None:
    """As after `kill -9`, run.json still says that it is running."""
    settled_run(state="running", pid=dead_process())
    summary = summary_of(OUT)
    assert (summary.state, summary.pid, is_running(OUT)) == ("stopped", None, False)
    assert summary.message == "the process has died; run the same command again to resume"


@pytest.mark.parametrize(("boot", "state"), [(this_machine().boot, "running"), ("another start", "stopped")])
def test_a_process_of_this_number_may_be_another_one_after_a_restart(boot: str, state: str) -> None:
    """The machine was started again since run.json was written."""
    settled_run(state="running", pid=os.getpid(), boot=boot)
    assert (summary_of(OUT).state, is_running(OUT)) == (state, state == "running")


def begun(**run_json: Any) -> None:
    """Write a run whose execution has not noted its end, with an outage in it and a run.json with these values."""
    settled_run(**run_json)
    with Store(OUT) as store:
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000)


def test_an_end_that_only_run_json_has_is_known() -> None:
    """As after a full disk, which has no room for a commit. Its outage has ended then, too."""
    begun(state="stopped", exit_code=3, message="no room", executions=[{}])
    (execution,) = summary_of(OUT).executions
    assert (execution["state"], execution["ended_by"], execution["message"]) == ("stopped", "directory", "no room")
    assert execution["ended_at"] == execution["until"] == execution["pauses"][0]["ended_at"] is not None


def two_endpoints(pid: int) -> None:
    """Write a run of two endpoints, of which one is away, with a row at each, and a process of this number."""
    settle(
        [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}],
        lambda request: {
            "endpoint": "west" if request.row else "east",
            "body": body_of("yes"),
            "usage": Usage(1_000_000, 0),
            "throttled": request.row,
        },
        head=TWO_ENDPOINTS,
    )
    now = [EndpointFigures("east", 3, 20, 7), EndpointFigures("west", 1, 8, 0, "away", "timeout: slow")]
    with Store(OUT) as store:
        store.history.reachable.serving = lambda model: ("east", "west")
        store.history.begin_execution(1_000)
        store.history.paused("m", "timeout", 2_000, "slow", "west")
        store.note_limit(1_000, 20, "start", "east")
        store.note_limit(1_000, 8, "start", "west")
        store.set_fact(facts.ENDPOINTS_NOW, [each._asdict() for each in now])
    (OUT / "run.json").write_text(json.dumps({"state": "running", "pid": pid}))


def test_the_workers_of_a_cluster_are_known_while_the_run_runs_and_those_lost_also_later() -> None:
    """A run that went on on one machine has lost none since."""
    now = [WorkerFigures(1, "n", 3, 20, 31, answered=5), WorkerFigures(2, "m", 0, 0, 12, "silent")]
    settled_run()
    with Store(OUT) as store:
        assert summary_of(OUT).engine is None
        store.history.begin_execution(1_000)
        store.set_fact(facts.WORKERS_NOW, [each._asdict() for each in now])
        store.set_fact(facts.WORKERS_LOST, 2)
        store.set_fact(facts.PUT_BACK, 90)
    (OUT / "run.json").write_text(json.dumps({"state": "running", "pid": os.getpid()}))
    assert figures_of(OUT).workers == tuple(now)
    engine = summary_of(OUT).engine
    assert engine is not None
    assert engine["workers"] == [each._asdict() for each in now]
    (line,) = (line for line in counts_lines(summary_of(OUT)) if line.startswith("workers"))
    assert line == "workers   2 workers: 3 – (1 silent); 2 workers lost; 90 rows that they had were put back for others"
    (OUT / "run.json").write_text(json.dumps({"state": "stopped"}))
    assert figures_of(OUT).workers == ()
    ended = [WorkerFigures(1, "n", 0, 0, 0, "ended", 5), WorkerFigures(2, "m", 0, 0, 0, "ended")]
    noted = [each._asdict() for each in ended]
    assert summary_of(OUT).engine == {"kind": "local", "workers": noted, "workers_lost": 2, "put_back": 90}
    (line,) = (line for line in counts_lines(summary_of(OUT)) if line.startswith("workers"))
    assert line == "workers   2 workers lost; 90 rows that they had were put back for others"


def test_run_json_keeps_the_workers_of_an_earlier_execution() -> None:
    """The last one may have had none, and no worker was lost: `engine` became null."""
    settled_run()
    ended = WorkerFigures(1, "n", 0, 0, 0, "ended", 5)._asdict()
    with Store(OUT) as store:
        store.set_fact(facts.WORKERS_NOW, [ended])
    (OUT / "run.json").write_text(json.dumps({"state": "running", "pid": os.getpid()}))
    assert summary_of(OUT).engine == {"kind": "local", "workers": [ended], "workers_lost": 0, "put_back": 0}
    assert figures_of(OUT).workers == ()
    assert not [line for line in counts_lines(summary_of(OUT)) if line.startswith("workers")]


SHOWN = ("name", "requests", "throttled", "cost_usd", "in_flight", "limit", "state", "since", "message")


def test_each_endpoint_of_several_is_known_while_the_run_runs() -> None:
    """Its rows and cost from the checkpoint, and what it does now; one that is away pauses nothing."""
    two_endpoints(os.getpid())
    summary = summary_of(OUT)
    assert [tuple(each[name] for name in SHOWN) for each in summary.endpoints] == [
        ("east", 1, 0, 1.0, 3, 20, "open", None, ""),
        ("west", 2, 3, 4.0, 1, 8, "away", "1970-01-01T00:00:02.000+00:00", "timeout: slow"),
    ]
    assert summary.cost_usd == sum(each["cost_usd"] for each in summary.endpoints) == 5.0
    assert [each["base_url"] for each in summary.endpoints] == ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    assert summary.pause is None
    figures = figures_of(OUT)
    assert [(each.name, each.state) for each in figures.endpoints] == [("east", "open"), ("west", "away")]
    assert (figures.limit, figures.pause) == (28, None)


def test_after_the_run_each_endpoint_has_its_last_limit_and_is_away_if_it_was_at_the_end() -> None:
    """One that answered to the end has no state."""
    two_endpoints(dead_process())
    assert [(each["limit"], each["in_flight"], each["state"]) for each in summary_of(OUT).endpoints] == [
        (20, 0, None),
        (8, 0, "away"),
    ]
    assert figures_of(OUT).endpoints == ()
    with Store(OUT) as store:
        store.history.begin_execution(5_000)
        store.history.closed("m", 6_000, "the key is refused", "west")
        store.history.end_execution(7_000, "completed")
    east, west = summary_of(OUT).endpoints
    assert (east["state"], west["state"], west["message"]) == (None, "closed", "the key is refused")
    (died, ended) = summary_of(OUT).executions
    assert [each["ended_at"] for each in (*died["endpoint_pauses"], *ended["endpoint_pauses"])] == [
        None,
        "1970-01-01T00:00:07.000+00:00",
    ]


def test_a_run_with_one_endpoint_has_no_list_of_endpoints() -> None:
    settled_run()
    assert summary_of(OUT).endpoints == []


@pytest.mark.parametrize("run_json", [{"state": "running", "executions": [{}]}, {"state": "stopped", "executions": []}])
def test_the_end_of_an_earlier_execution_is_not_taken_for_the_last_ones(run_json: dict[str, Any]) -> None:
    """A process may die before it writes run.json for the first time."""
    begun(exit_code=3, message="no room", **run_json)
    (execution,) = summary_of(OUT).executions
    assert (execution["state"], execution["ended_by"]) == ("died", "killed")


@pytest.mark.parametrize("is_alive", [True, False])
def test_what_was_in_flight_when_the_process_died_is_not_recorded(is_alive: bool) -> None:
    """While it is alive, its answers may still come."""
    settled_run(state="running", pid=os.getpid() if is_alive else dead_process())
    with closing(Journal(OUT)) as journal:
        journal.note(2 + 5)
    assert summary_of(OUT).unrecorded == (0 if is_alive else 5)


def test_results_are_fresh_until_the_checkpoint_changes() -> None:
    """Missing results are not fresh."""
    settled_run()
    assert not is_fresh(OUT)
    export(OUT)
    assert is_fresh(OUT)
    later_s = (OUT / "results.parquet").stat().st_mtime + 1
    os.utime(OUT / "checkpoint.sqlite", (later_s, later_s))
    assert not is_fresh(OUT)


def test_a_directory_without_a_checkpoint_is_refused() -> None:
    """The message has the directory."""
    OUT.mkdir()
    with pytest.raises(RunDirectoryError, match="out: holds no run"):
        summary_of(OUT)


def test_a_judge_has_its_name_before_its_first_judgment() -> None:
    """As where the cap leaves no room for one."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("j",)), output=Output(dir="out/judge"))
    (OUT / "judge").mkdir(parents=True)
    with Store(OUT / "judge") as store:
        note_requests(store, job, {"job": "j", "input": "i", "limit": None}, {})
    entry = judge_entry(OUT)
    assert entry is not None
    assert (entry["model"], entry["completed"]) == ("j", 0)
