"""Ctrl-C while the results are written: the message is correct, the exit code is 130, and nothing is lost."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_prompts

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

SCORER = """
import pathlib, time

def score(row):
    pathlib.Path("is_writing").touch()
    while not pathlib.Path("may_end").exists():
        time.sleep(0.002)
    return 1.0
"""
"""Delays the writing of the results, because they are scored while they are written."""


@pytest.fixture
def writing(spawn: Any, endpoint: Any) -> subprocess.Popen[str]:
    """A run that is writing its results; its old results have no score."""
    Path("slow.py").write_text(SCORER)
    command = ["run", write_prompts("a", "b"), "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out"]
    assert spawn(*command).wait(30) == 0
    process: subprocess.Popen[str] = spawn(*command, "--scorer", "slow:score")
    endpoint.wait(Path("is_writing").exists)
    return process


def interrupt(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """Send a signal; return the message about it."""
    assert process.stderr is not None
    process.send_signal(number)
    return next(line for line in process.stderr if "stopping" in line)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_the_first_ctrl_c_waits_for_the_results_and_the_run_ends_as_interrupted(
    writing: Any, run: Any, number: signal.Signals, code: int
) -> None:
    """The message says what the run waits for. The results are complete, and the next run has nothing to send."""
    message = interrupt(writing, number)
    assert "the results are being written; a second Ctrl-C stops at once" in message
    Path("may_end").touch()
    _, stderr = writing.communicate(timeout=60)
    assert writing.returncode == code
    assert "all rows are settled, and the results are written" in stderr
    assert [row["score"] for row in results()] == [1.0, 1.0]
    summary = json.loads(Path("out/run.json").read_text())
    assert (summary["state"], summary["exit_code"], summary["completed"]) == ("interrupted", code, 2)
    assert run("in.jsonl").code == 0


def test_a_second_ctrl_c_keeps_the_old_results_and_export_writes_the_new_ones(
    writing: Any, batchrun: Any, endpoint: Any
) -> None:
    """The checkpoint is complete, the message has the command, and no partial file is left."""
    before = Path("out/results.parquet").read_bytes()
    interrupt(writing)
    writing.send_signal(signal.SIGINT)
    _, stderr = writing.communicate(timeout=60)
    assert writing.returncode == 130
    assert "the results were not written" in stderr
    assert "write them: batchrun export out" in stderr
    assert "Traceback" not in stderr
    assert Path("out/results.parquet").read_bytes() == before
    Path("may_end").touch()
    assert batchrun("export", "out", "--scorer", "slow:score").code == 0
    assert pq.read_table("out/results.parquet")["score"].to_pylist() == [1.0, 1.0]
    assert not list(Path("out").glob("*.tmp"))
    assert endpoint.stats.received == 2
