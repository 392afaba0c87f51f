"""Standard streams that are closed or full: the run continues, nothing is lost, and there is no traceback."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def shell(arguments: str, redirection: str) -> subprocess.CompletedProcess[str]:
    command = f"exec {shlex.quote(sys.executable)} -m batchrun {arguments} {redirection}"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("redirection", "code"),
    [("2>/dev/full", 0), (">/dev/full 2>&1", 3), (">&- 2>&- <&-", 0)],
)
def test_a_run_without_readers_of_its_messages_ends_normally(redirection: str, code: int) -> None:
    """Only a lost line of JSON changes the exit code."""
    prompts = write_prompts("a", "b")
    done = shell(f"run {prompts} -m m -o out --simulate --json", redirection)
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert pq.read_table("out/results.parquet")["status"].to_pylist() == ["completed"] * 2


@pytest.mark.parametrize("arguments", ["", "status out"])
def test_requested_output_that_cannot_be_written_is_an_error(arguments: str, run: Any) -> None:
    """The message is one line."""
    run(write_prompts("a"))
    done = shell(arguments, ">/dev/full")
    assert done.returncode == 3
    assert done.stderr.startswith("batchrun: standard output: cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1
