"""Runs that stop early: exit code, message, results so far, and resuming."""

import os
import re
import resource
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

from batchrun.checkpoint.reader import Checkpoint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

MANY = [str(number) for number in range(100)]


NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGHUP: "SIGHUP (the terminal was closed)"}


def assert_resumes(run: Any, endpoint: Any, count: int = len(MANY), twice: int = 0) -> None:
    """Check that the same command finishes the run and sends only requests in flight again."""
    endpoint.change(latency_s=0, error_shares={}, concurrency_limit=None)
    assert run("in.jsonl").code == 0
    assert [row["prompt"] for row in results()] == MANY[:count]
    assert endpoint.stats.answered <= count + twice


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)], ids=lambda each: str(each)
)
def test_a_signal_drains_the_run(run: Any, endpoint: Any, when: Any, number: signal.Signals, code: int) -> None:
    """Requests in flight are answered and recorded, results exist, and nothing more is sent."""
    endpoint.change(latency_s=0.1, latency_sigma=0)
    when(lambda: endpoint.stats.in_flight >= 4, lambda: os.kill(os.getpid(), number))
    done = run(write_prompts(*MANY), "--max-concurrency", 4, "--json")
    assert done.code == code
    assert f" {NAMES.get(number, number.name)}: stopping: waiting for " in done.stderr
    assert "a second Ctrl-C stops at once" in done.stderr
    assert f"{NAMES.get(number, number.name)}: the answers in flight were kept" in done.json["message"]
    assert "run the same command again to resume" in done.stderr
    assert (done.json["state"], done.json["executions"][0]["ended_by"]) == ("interrupted", number.name)
    assert done.json["completed"] == len(results()) == endpoint.stats.answered == endpoint.stats.received
    assert 4 <= len(results()) < 50
    assert_resumes(run, endpoint)


def test_a_second_ctrl_c_stops_immediately(spawn: Any, run: Any, endpoint: Any) -> None:
    """Requests in flight lose their answers; answers that had arrived are kept."""
    endpoint.change(latency_s=0)
    write_prompts("0", "1", *(f"[[simulate: slow 30]] {number}" for number in range(5)))
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    endpoint.wait(lambda: endpoint.stats.received == 7)
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert any("a second Ctrl-C stops at once" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began_s < 10
    assert "run the same command again to resume" in stderr
    assert "Traceback" not in stderr
    write_prompts("0", "1")
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == 7


def test_an_open_pipe_does_not_block_a_drained_run(spawn: Any, endpoint: Any) -> None:
    """Although the reader waits for more rows."""
    reads, writes = os.pipe()
    os.write(writes, b'{"prompt": "a"}\n{"prompt": "b"}\n')
    process = spawn("run", "-", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", stdin=reads)
    endpoint.wait(lambda: endpoint.stats.answered == 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    os.close(writes)
    os.close(reads)
    assert process.returncode == 130
    assert "Fatal" not in stderr
    assert len(results()) == 2


def test_ctrl_c_ends_a_run_that_waits_for_its_first_row(spawn: Any, endpoint: Any) -> None:
    """It ends immediately, because there is nothing to drain."""
    reads, writes = os.pipe()
    process = spawn("run", "-", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", stdin=reads)
    endpoint.wait(Path("out/.lock.pid").exists)
    try:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=2) == 130
    finally:
        os.close(writes)
        os.close(reads)


def test_a_full_disk_is_reported_and_the_run_resumes_when_there_is_space(
    spawn: Any, run: Any, batchrun: Any, endpoint: Any
) -> None:
    """The exit code is 3, and `status` says what happened; recorded answers are not requested again."""

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    endpoint.change(latency_s=0.05, latency_sigma=0)  # enough commits for the log to use up the space
    write_prompts(*MANY)
    command = ["run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "4"]
    process = spawn(*command, preexec_fn=little_room)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "make room" in stderr
    assert "Traceback" not in stderr
    status = batchrun("status", "out").stdout
    assert "the process has died" not in status
    assert "make room" in status
    assert_resumes(run, endpoint, twice=len(MANY) - 1)
    first, second = batchrun("status", "out", "--json").json["executions"]
    assert (first["state"], first["ended_by"], second["ended_by"]) == ("stopped", "directory", "done")
    assert "make room" in first["message"]


def test_the_deadline_holds_even_if_run_json_cannot_be_written(run: Any, endpoint: Any) -> None:
    """The run ends at its deadline."""
    endpoint.change(latency_s=0.1)
    Path("out/run.json").mkdir(parents=True)
    run(write_prompts(*MANY), "-c", 10, "--max-duration", "0.2s")
    assert endpoint.stats.answered < len(MANY)


def test_a_killed_run_can_be_resumed(spawn: Any, run: Any, batchrun: Any, endpoint: Any) -> None:
    """Only requests in flight are sent again."""
    endpoint.change(latency_s=0.05, latency_sigma=0)
    write_prompts(*MANY)
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "4")
    endpoint.wait(lambda: endpoint.stats.answered >= 12)
    status = batchrun("status", "out", "--json").json
    assert (status["state"], status["pid"]) == ("running", process.pid)
    process.kill()
    process.wait()
    status = batchrun("status", "out", "--json").json
    assert (status["state"], status["pid"]) == ("stopped", None)
    assert "run the same command again" in status["message"]
    assert_resumes(run, endpoint, twice=8)


def test_a_second_run_in_the_same_directory_is_refused(spawn: Any, run: Any, endpoint: Any) -> None:
    """The exit code is 3, and the message has the pid of the first run."""
    endpoint.change(latency_s=30)
    process = spawn("run", write_prompts("a"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    endpoint.wait(lambda: endpoint.stats.received == 1)
    done = run("in.jsonl")
    assert done.code == 3
    assert f"(process {process.pid})" in done.stderr


def test_export_and_status_work_during_a_run(batchrun: Any, run: Any, endpoint: Any, spawn: Any) -> None:
    """They do not disturb it."""
    write_prompts("0", "1", "[[simulate: slow 30]]")
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out")
    endpoint.wait(lambda: endpoint.stats.answered == 2)
    endpoint.wait(lambda: batchrun("status", "out").stdout.startswith("running   2 rows completed"))
    assert batchrun("export", "out").code == 0
    assert [row["prompt"] for row in results()] == ["0", "1"]
    assert process.poll() is None


@pytest.mark.parametrize(
    ("fault", "code", "cure"),
    [
        ("402", 5, "add credits"),
        ("429_quota", 5, "add credits"),
        ("401", 4, "check the key"),
        ("403", 4, "served in your region"),
        ("404", 4, "batchrun models"),
    ],
)
def test_an_endpoint_that_refuses_everything_stops_the_run(
    run: Any, endpoint: Any, fault: str, code: int, cure: str
) -> None:
    """No row fails because of it. When the problem is fixed, the same command resumes."""
    endpoint.change(error_shares={fault: 1.0})
    done = run(write_prompts(*MANY), "--json")
    assert done.code == done.json["exit_code"] == code
    assert done.json["state"] == "stopped"
    assert cure in done.stderr
    assert "Traceback" not in done.stderr
    assert (results(), done.json["rows"]) == ([], 0)
    assert endpoint.stats.received < len(MANY)
    assert_resumes(run, endpoint)


def test_a_wrong_key_exits_4_and_a_right_one_resumes(run: Any, endpoint: Any) -> None:
    """The message says what to check."""
    endpoint.change(keys=["sk-right"])
    done = run(write_prompts(*MANY))
    assert done.code == 4
    assert "Authentication failed" in done.stderr
    assert "check the key in OPENAI_API_KEY; then run the same command again" in done.stderr
    endpoint.change(keys=["sk-test"])
    assert_resumes(run, endpoint)


def test_an_outage_longer_than_the_patience_exits_5(run: Any, endpoint: Any) -> None:
    """The message has the reply of the endpoint, and no row fails."""
    endpoint.change(error_shares={"503": 1.0})
    done = run(write_prompts(*MANY), "--patience", "1s", "--json")
    assert (done.code, done.json["failed"]) == (5, 0)
    assert "overloaded" in done.json["message"]
    with Checkpoint(Path("out")) as checkpoint:
        (execution,) = checkpoint.executions(is_running=False)
    (pause,) = execution.pauses
    assert (execution.state, pause.model, pause.ended_at_ms) == ("stopped", MODEL, execution.ended_at_ms)
    assert pause.ended_at_ms is not None
    assert execution.started_at_ms <= pause.started_at_ms < pause.ended_at_ms
    assert_resumes(run, endpoint)


def test_no_row_fails_in_an_outage_shorter_than_the_patience(run: Any, endpoint: Any, when: Any) -> None:
    """The run waits, and a message reports the outage."""
    endpoint.change(error_shares={"503": 1.0})
    when(lambda: endpoint.stats.received >= 3, lambda: endpoint.change(error_shares={}))
    done = run(write_prompts(*MANY), "--max-attempts", 1)
    assert done.code == 0
    assert "100 of 100 rows completed, 0 failed" in done.stderr


@pytest.mark.local_only("the deadline is over before workers have started")
def test_a_deadline_drains_the_run(run: Any, endpoint: Any) -> None:
    """It is set with --max-duration; the exit code is 5."""
    endpoint.change(latency_s=0.1)
    done = run(write_prompts(*MANY), "-c", 4, "--max-duration", "0.5s", "--json")
    assert done.code == 5
    assert " max_duration 0.5s is over: stopping: waiting for " in done.stderr
    assert "; max_duration 0.5s is over; run the same command again" in done.json["message"]
    assert 0 < done.json["completed"] == len(results()) < 60
    assert done.json["completed"] == endpoint.stats.answered
    assert_resumes(run, endpoint)


@pytest.fixture
def seconds_before_the_minute(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Choose a time zone in which a minute is about to end; it can differ from UTC by any number of seconds."""

    def choose(seconds: int) -> datetime:
        """Return the local time of the next minute."""
        now = datetime.now()
        ahead = 60 - seconds - now.second  # seconds to move the clock forward
        sign = "-" if ahead > 0 else ""
        monkeypatch.setenv("TZ", f"TST{sign}0:00:{abs(ahead):02}")
        time.tzset()
        return (datetime.now() + timedelta(seconds=seconds + 1)).replace(second=0)

    monkeypatch.setenv("TZ", "TST0")
    time.tzset()
    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.local_only("the time is over before workers have started")
def test_a_time_of_day_drains_the_run(run: Any, endpoint: Any, seconds_before_the_minute: Any) -> None:
    """It is set with --stop-at; the exit code is 5."""
    endpoint.change(latency_s=0.1)
    write_prompts(*MANY)
    at = seconds_before_the_minute(2)
    done = run("in.jsonl", "-c", 2, "--stop-at", f"{at:%H:%M}", "--json")
    assert done.code == 5
    assert f"; stop_at {at:%H:%M} has come; run the same command again to resume" in done.json["message"]
    assert done.json["executions"][0]["ended_by"] == "deadline"
    assert 0 < done.json["completed"] < len(MANY)


def priced_job(endpoint: Any, usd_per_mtok: float) -> str:
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "out"\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = {usd_per_mtok}\n'
    )
    return "job.toml"


def test_the_cost_cap_is_never_exceeded(batchrun: Any, endpoint: Any) -> None:
    """Neither in one execution nor over several. The exit code is 5; with a higher cap the run resumes."""
    write_prompts(*MANY)
    job = priced_job(endpoint, 1000)  # an answer costs up to 0.02 USD
    done = batchrun("run", job, "--max-cost", 0.5, "--json")
    assert done.code == 5
    assert "raise --max-cost" in done.json["message"]
    assert 0.4 < done.json["cost_usd"] <= 0.5
    sent = endpoint.stats.received
    done = batchrun("run", job, "--max-cost", 0.5, "--json")
    assert (done.code, endpoint.stats.received) == (5, sent)
    assert batchrun("run", job, "--max-cost", 100).code == 0
    assert endpoint.stats.answered == len(MANY)


def test_a_cap_without_a_price_is_refused_before_anything_is_sent(run: Any, endpoint: Any) -> None:
    """It could not be kept. The exit code is 2."""
    done = run(write_prompts("a"), "--max-cost", 1)
    assert done.code == 2
    assert f'[prices."{MODEL}"]' in done.stderr
    assert endpoint.stats.received == 0


def test_the_requests_per_minute_are_not_exceeded(run: Any, endpoint: Any) -> None:
    """600 per minute are 10 per second, with a burst of half a second."""
    began_s = time.monotonic()
    assert run(write_prompts(*MANY[:12]), "--requests-per-minute", 600).code == 0
    assert time.monotonic() - began_s >= (12 - 5) / 10 - 0.05
    assert endpoint.stats.received == 12


def test_the_ceiling_is_never_exceeded(run: Any, endpoint: Any) -> None:
    """It is set with --max-concurrency."""
    endpoint.change(latency_s=0.01)
    assert run(write_prompts(*MANY), "-c", 7).code == 0
    assert endpoint.stats.peak_in_flight <= 7


def test_a_missing_key_is_named_after_a_refusal(run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local server may need none, so the run only finds out when it is refused."""
    monkeypatch.delenv("OPENAI_API_KEY")
    done = run(write_prompts("a", "b"))
    assert done.code == 4
    assert "no key was sent; set OPENAI_API_KEY (any value for servers that need none)" in done.stderr
    assert "--project" not in done.stderr


def test_a_deadline_is_announced(run: Any) -> None:
    """Nothing is announced when nothing is left to send."""
    prompts = write_prompts("a", "b")
    assert re.search(
        r"stops at \d\d:\d\d( tomorrow)?, in (7 h 59|8 h 00) min", run(prompts, "--max-duration", "8h").stderr
    )
    assert "stops at" not in run(prompts, "--max-duration", "8h").stderr
