"""Which processes are alive."""

import os
import subprocess
import sys

import pytest

from batchrun.storage.processes import is_alive


def test_this_process_is_alive() -> None:
    """As is one that belongs to somebody else."""
    assert is_alive(os.getpid())
    assert is_alive(1)


def test_a_process_that_has_ended_is_not() -> None:
    """Its number is free again."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_process_that_nobody_has_waited_for_is_not_alive_either() -> None:
    """In a container without init it would stand there for ever."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait()
