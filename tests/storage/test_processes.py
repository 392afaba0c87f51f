"""Checking whether a process is alive."""

import os
import subprocess
import sys

import pytest

from batchrun.storage.processes import is_alive, this_machine


def test_this_process_is_alive() -> None:
    """So is a process of another user."""
    assert is_alive(os.getpid())
    assert is_alive(1)


def test_a_process_that_has_ended_is_not_alive() -> None:
    """The system may use its number again."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_zombie_process_is_not_alive() -> None:
    """In a container without init, a zombie never disappears."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system is asked in another way")
def test_a_start_of_the_machine_has_one_identifier() -> None:
    """Every process sees the same."""
    assert this_machine().boot
    code = "from batchrun.storage.processes import this_machine; print(*this_machine(), sep='|')"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout == "|".join(this_machine()) + "\n"
