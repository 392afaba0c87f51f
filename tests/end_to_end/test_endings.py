"""Every end leaves a usable run: lost terminals, full disks, too few open files, and other processes."""

import fcntl
import json
import os
import pty
import resource
import signal
import subprocess
import termios
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

PATIENCE_S = 50

MANY = [str(number) for number in range(100)]


TOO_MANY = [str(number) for number in range(1_000)]
"""More rows than are sent before a busy machine has noticed a signal."""


def command(endpoint: Any, *more: Any) -> list[Any]:
    return ["run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", *more]


def pipe_without_reader() -> int:
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def at_most(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# What is left in the directory.


def test_only_files_for_people_are_left_when_a_run_ends(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Also after a deadline, and after commands that look at the run. A cap still holds: it is in the checkpoint."""
    endpoint.change(latency_s=0.05)
    files = {"checkpoint.sqlite", "results.parquet", "run.json", "usage.parquet"}
    write_prompts(*MANY[:40])
    assert run("in.jsonl", "-c", 4, "--max-duration", "0.3s").code == 5
    assert {path.name for path in Path("out").iterdir()} == files
    assert run("in.jsonl", "-c", 40, "--max-tokens-total", 1_000_000).code == 0
    used = json.loads(Path("out/run.json").read_text())
    for looks in (["status", "out"], ["watch", "out"], ["export", "out"]):
        assert batchrun(*looks).code == 0
        assert {path.name for path in Path("out").iterdir()} == files
    again = batchrun("status", "out", "--json").json
    assert {name: again[name] for name in ("total_tokens", "set_aside_tokens", "unrecorded")} == {
        name: used[name] for name in ("total_tokens", "set_aside_tokens", "unrecorded")
    }


# The terminal is gone.


def test_a_closed_terminal_drains_the_run(spawn: Any, endpoint: Any) -> None:
    """A real terminal sends SIGHUP, and then every message to it is an error. The exit code is 143."""
    endpoint.change(latency_s=0.1, latency_sigma=0)
    write_prompts(*TOO_MANY)
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = spawn(
        *command(endpoint, "-c", 4, "--json"), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal
    )
    os.close(theirs)
    endpoint.wait(lambda: endpoint.stats.answered >= 4)
    os.close(ours)
    assert process.wait(timeout=PATIENCE_S) == 143
    assert json.loads(Path("out/run.json").read_bytes())["state"] == "interrupted"
    assert len(results()) == endpoint.stats.answered == endpoint.stats.received < 500


def test_ctrl_c_drains_the_run_even_if_it_also_ends_the_reader_of_messages(spawn: Any, endpoint: Any) -> None:
    """In `batchrun run … 2>&1 | tee log` the terminal interrupts both."""
    endpoint.change(latency_s=0.1, latency_sigma=0)
    write_prompts(*TOO_MANY)
    writes = pipe_without_reader()
    process = spawn(*command(endpoint, "-c", 4, "--json"), stdout=writes, stderr=writes)
    os.close(writes)
    endpoint.wait(lambda: endpoint.stats.answered >= 4)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE_S) == 130
    assert len(results()) == endpoint.stats.answered == endpoint.stats.received < 500


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_lost_messages_do_not_fail_a_run_and_a_lost_line_of_json_does(spawn: Any, endpoint: Any) -> None:
    """The disk of the log may be full. A script with --json must not see a success without JSON."""
    write_prompts("a")
    with Path("/dev/full").open("w") as full:
        assert spawn(*command(endpoint), stderr=full).wait(timeout=PATIENCE_S) == 0
        process = spawn(*command(endpoint, "--json"), stdout=full)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert "standard output: cannot be written (No space left on device)" in stderr
    assert "Traceback" not in stderr


def test_a_run_under_nohup_ignores_a_closed_terminal(spawn: Any, endpoint: Any) -> None:
    """A signal that is ignored when the process starts stays ignored."""
    endpoint.change(latency_s=0.1)
    write_prompts(*MANY[:12])
    process = spawn(*command(endpoint, "-c", 4), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    endpoint.wait(lambda: endpoint.stats.received >= 4)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=PATIENCE_S) == 0
    assert len(results()) == 12


# Too few resources.


def test_a_run_raises_its_limit_of_open_files(spawn: Any, endpoint: Any) -> None:
    """The default of macOS is 256, and a process may raise it."""
    endpoint.change(latency_s=0.1)
    write_prompts(*MANY)
    process = spawn(*command(endpoint, "-c", 60), preexec_fn=at_most(50, 200))
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "open files" not in stderr
    assert endpoint.stats.peak_in_flight > 20


def test_with_few_open_files_fewer_requests_are_in_flight(spawn: Any, endpoint: Any) -> None:
    """A message has the reason and the cure; no attempt fails because of it."""
    endpoint.change(latency_s=0.02)
    write_prompts(*MANY)
    process = spawn(*command(endpoint, "-c", 1000, "--json"), preexec_fn=at_most(64, 64))
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "note: at most 24 requests at once, instead of 1,000" in stderr
    assert "ulimit -n 1040" in stderr
    assert endpoint.stats.peak_in_flight <= 24
    assert json.loads(stdout)["attempts"] == len(MANY)


def test_a_run_that_cannot_open_its_own_files_is_refused(spawn: Any, endpoint: Any) -> None:
    """Before anything is written or sent, with exit code 3 and the cure."""
    write_prompts("a")
    process = spawn(*command(endpoint), preexec_fn=at_most(20, 20))
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert "ulimit -n" in stderr
    assert "Traceback" not in stderr
    assert not Path("out").exists()


def test_if_results_cannot_be_written_old_results_and_all_answers_stay(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The exit code is 3; `export` writes the results later."""
    assert run(write_prompts(*MANY[:2])).code == 0
    Path("out/usage.parquet").unlink()
    (Path("out/usage.parquet") / "mine").mkdir(parents=True)
    write_prompts(*MANY[:3])
    done = run("in.jsonl")
    assert done.code == 3
    assert "the answers are safe in the checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
    Path("out/usage.parquet/mine").rmdir()
    Path("out/usage.parquet").rmdir()
    assert batchrun("export", "out").code == 0
    assert len(results()) == 3
    assert endpoint.stats.answered == 3
    assert not list(Path("out").glob("*.tmp"))


# Several processes.


def test_of_two_runs_that_start_at_once_one_is_refused(spawn: Any, endpoint: Any) -> None:
    """The message has the id of the other process; nothing is sent twice."""
    endpoint.change(latency_s=1)  # the first one must not finish before the second one has started
    write_prompts(*MANY[:40])
    processes = [spawn(*command(endpoint, "-c", 1)) for _ in range(2)]
    endpoint.wait(lambda: any(process.poll() is not None for process in processes))
    endpoint.change(latency_s=0)
    written = {process.pid: process.communicate(timeout=PATIENCE_S)[1] for process in processes}
    refused, ran = sorted(processes, key=lambda process: -process.returncode)
    assert (refused.returncode, ran.returncode) == (3, 0)
    assert f"(process {ran.pid})" in written[refused.pid]
    assert max(endpoint.stats.answered_by_request.values()) == 1


def test_concurrent_exports_during_a_run_leave_complete_results(spawn: Any, endpoint: Any, batchrun: Any) -> None:
    """Each replaces the file in one step; the last one stays."""
    endpoint.change(latency_s=0.05)
    write_prompts(*MANY)
    ran = spawn(*command(endpoint, "-c", 8))
    endpoint.wait(lambda: endpoint.stats.answered >= 4)
    endpoint.wait(lambda: batchrun("export", "out").code == 0)  # the first answers are committed
    codes: Counter[int] = Counter()
    while ran.poll() is None:
        another = spawn("export", "out", stderr=subprocess.DEVNULL)
        codes[batchrun("export", "out").code] += 1
        assert [row["prompt"] for row in results()] == [MANY[row["row"]] for row in results()]
        codes[another.wait(timeout=PATIENCE_S)] += 1
    assert ran.returncode == 0
    assert set(codes) == {0}
    assert batchrun("export", "out").code == 0
    assert [row["prompt"] for row in results()] == MANY


@pytest.mark.parametrize("flag", ["--restart", "--retry-failed"])
def test_a_second_run_does_not_disturb_the_first(spawn: Any, run: Any, endpoint: Any, flag: str) -> None:
    """Even if Ctrl-Z stops the first one. The second one is refused before it changes anything."""
    write_prompts("0", "[[simulate: slow 30]]")
    process = spawn(*command(endpoint))
    endpoint.wait(lambda: endpoint.stats.received == 2)
    process.send_signal(signal.SIGSTOP)
    done = run("in.jsonl", flag)
    assert done.code == 3
    assert f"(process {process.pid})" in done.stderr
    assert not Path("out/before-restart.checkpoint.sqlite").exists()
