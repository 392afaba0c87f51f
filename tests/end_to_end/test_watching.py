"""Watching a run from another process, during the run and afterwards."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts

from batchrun.checkpoint.store import Store
from batchrun.publish.wandb.figures import live_figures
from batchrun.records import RowCount
from batchrun.report.progress import line_text
from batchrun.report.texts import duration_text
from batchrun.results.state import figures_of, is_running

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def test_a_run_is_watched_until_it_ends(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """It shows rows, limit and requests in flight, and at the end how the run ended."""
    write_prompts("0", "1", *(f"[[simulate: slow 30]] {row}" for row in range(4)))
    endpoint.change(latency_s=0)
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "50")
    endpoint.wait(lambda: endpoint.stats.received == 6)
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).total == RowCount(6, is_exact=True))
    endpoint.wait(lambda: figures_of(Path("out")).done == 2)
    figures = figures_of(Path("out"))
    assert (figures.in_flight, figures.failed) == (4, 0)
    assert figures.limit >= 4
    assert is_running(Path("out"))
    process.kill()
    process.wait()
    done = batchrun("watch", "out")
    assert done.code == 0
    assert "stopped   2 rows completed, 0 failed so far, of 6 (33 %) in " in done.stderr
    assert "the process has died; 4 rows are left; run the same command again to resume" in done.stderr


def test_copied_answers_do_not_change_the_requests_in_flight(spawn: Any, endpoint: Any) -> None:
    """Nothing was sent for a copy, so it must not count as a request that has ended."""
    prompts = ["same"] * 12 + [f"[[simulate: slow 30]] {row}" for row in range(4)]
    write_prompts(*prompts)
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\ndedupe = true\n[model]\nname = "{MODEL}"\n')
    endpoint.change(latency_s=0)
    process = spawn("run", "job.toml", "--base-url", endpoint.base_url, "-o", "out", "-c", "50")
    endpoint.wait(lambda: endpoint.stats.received == 5)
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).done == 12)
    assert figures_of(Path("out")).in_flight == live_figures(Path("out"))["in_flight"] == 4
    process.kill()
    process.wait()


def test_the_end_of_a_finished_run_is_shown_immediately(run: Any, batchrun: Any) -> None:
    """The counts are shown too. A folder without a run is an error."""
    run(write_prompts("a", "b"))
    done = batchrun("watch", "out")
    assert "done      2 of 2 rows completed, 0 failed" in done.stderr
    done = batchrun("watch", "nowhere")
    assert (done.code, "holds no run" in done.stderr) == (3, True)


def test_an_outage_is_seen_from_outside(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """`watch`, `status`, run.json and the live figures for W&B have the pause, since when it lasts, and why."""
    write_prompts(*map(str, range(20)))
    endpoint.change(latency_s=0, error_shares={"503": 1.0})
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "10")
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).pause is not None)
    endpoint.wait(lambda: figures_of(Path("out")).waiting > 0)
    endpoint.wait(lambda: live_figures(Path("out"))["waiting"] > 0)
    pause = figures_of(Path("out")).pause
    assert pause is not None
    assert re.fullmatch(r"overloaded: .+", pause)
    assert live_figures(Path("out"))["paused"] == 1
    since = r"paused    since \d{4}-\d\d-\d\d \d\d:\d\d, "
    shows = re.compile(since + re.escape(pause) + r"; next probe at \d\d:\d\d:\d\d\n")
    endpoint.wait(lambda: shows.search(batchrun("status", "out").stdout))  # there is none while it is being asked
    status = batchrun("status", "out")
    assert "running   0 rows completed, 0 failed so far, of 20 (0 %) in " in status.stdout
    (shown,) = batchrun("status", "out", "--json").json["executions"][0]["pauses"]
    assert (shown["model"], shown["kind"], shown["ended_at"]) == (MODEL, "overloaded", None)
    process.kill()
    process.wait()
    ended = batchrun("status", "out").stdout
    assert "paused    since" not in ended
    assert re.search(r"\n +paused [-\d: ]+ to [\d:]+ \([\d.]+ s\): " + re.escape(pause) + "\n", ended)


def test_a_run_that_was_stopped_at_once_has_not_died(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """The second Ctrl-C ends the process in order, and `status` says so."""
    write_prompts("0", "1", *(f"[[simulate: slow 30]] {row}" for row in range(4)))
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "50")
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).done == 2)
    endpoint.wait(lambda: endpoint.stats.received == 6)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    next(line for line in process.stderr if "stopping" in line)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    summary = batchrun("status", "out", "--json").json
    assert summary["state"] == "interrupted"
    assert summary["message"].startswith("stopped at once, so that the answers in flight are lost; 4 rows are left; ")
    (execution,) = summary["executions"]
    assert (execution["state"], execution["ended_at"] is None) == ("interrupted", False)


def test_the_time_is_that_of_all_executions_in_every_place(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The time without a process does not count; `duration_s` stays that of the last execution."""
    endpoint.change(latency_s=0.1, latency_sigma=0)
    prompts = write_prompts(*map(str, range(40)))
    assert run(prompts, "-c", 2, "--max-duration", "0.5s", "--json").code == 5
    with Store(Path("out")) as store:  # an hour in which nothing ran
        for table in ("executions", "pauses"):
            store.connection.execute(f"UPDATE {table} SET started_at_ms = started_at_ms - 3600000")
            store.connection.execute(f"UPDATE {table} SET ended_at_ms = ended_at_ms - 3600000")
    done = run(prompts, "-c", 20, "--json")
    assert done.code == 0
    took_s = [each["running_s"] for each in done.json["executions"]]
    assert len(took_s) == 2
    assert done.json["running_s"] == pytest.approx(sum(took_s))
    assert done.json["running_s"] < 60
    assert done.json["duration_s"] < done.json["running_s"] + took_s[0]
    shown = f"40 of 40 rows completed, 0 failed in 2 executions, {duration_text(done.json['running_s'])}\n"
    assert shown in done.stderr
    assert shown in batchrun("status", "out").stdout
    assert json.loads(Path("out/run.json").read_text())["executions"] == done.json["executions"]


def test_a_run_that_stops_is_not_called_running(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """`status`, its list and `watch` say that it waits for the answers in flight, why, and until when at most."""
    write_prompts("0", "1", *(f"[[simulate: slow 30]] {row}" for row in range(4)))
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "runs/out", "-c", "50")
    out = Path("runs/out")
    endpoint.wait(lambda: (out / "run.json").exists() and figures_of(out).done == 2)
    endpoint.wait(lambda: endpoint.stats.received == 6)
    process.send_signal(signal.SIGINT)
    endpoint.wait(lambda: figures_of(out).stopping is not None)
    assert "STOPPING: Ctrl-C" in line_text(figures_of(out), 0)
    status = batchrun("status", out).stdout
    assert status.startswith("stopping  2 rows completed, 0 failed so far, of 6 (33 %) in ")
    assert re.search(r"\nwaiting   for the answers in flight, until \d\d:\d\d:\d\d at most: Ctrl-C\n", status)
    assert batchrun("status").stdout.splitlines()[1].split()[2] == "stopping"
    shown = batchrun("status", out, "--json").json
    assert (shown["state"], shown["stopping"], shown["left_s"]) == ("running", "Ctrl-C", None)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    ended = batchrun("status", out, "--json").json
    assert (ended["state"], ended["stopping"], ended["drained_by"]) == ("interrupted", None, None)


def test_an_outage_is_as_long_in_the_log_as_in_the_history(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """It is announced before any line shows it. While it lasts, the attempts that are counted are not all."""
    write_prompts(*map(str, range(60)))
    endpoint.change(latency_s=0, error_shares={"503": 0.8, "429": 0.2})
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "10")
    endpoint.wait(lambda: Path("out/run.json").exists() and figures_of(Path("out")).pause is not None)
    endpoint.wait(lambda: "next probe" in batchrun("status", "out").stdout)
    assert " requests sent" not in batchrun("status", "out").stdout
    endpoint.change(error_shares={})
    assert process.wait(60) == 0
    log = process.stderr.read()
    (after,) = re.findall(r"the endpoint answers again after (\S+ \S+)\n", log)
    assert f" ({after}): " in batchrun("status", "out").stdout
    assert "PAUSED" not in log.split(" paused (")[0]
