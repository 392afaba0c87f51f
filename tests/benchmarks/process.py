"""Run a command and measure the whole process from outside: CPU seconds, wall time, peak memory.

The measuring process must stay small: the peak of a child includes the memory of its parent at the start.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]

DEADLINE_S = 900.0
"""A child that runs longer is killed, and the benchmark ends."""

SERVER_CORE, CLIENT_CORE = 0, 1

popen = subprocess.Popen
"""Starts a process; tests of the benchmarks, where durations mean nothing, replace it."""


@dataclass(frozen=True)
class Used:
    """The resources that a process used."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    stdout: bytes
    waits: int
    """How often it waited for something: a process that reads sockets does so once it has read all that came."""
    reads: int
    """Calls of `read`, of files and sockets; 0 if the system does not count them."""


def use(
    command: Sequence[str],
    scratch: Path,
    *,
    expected: Sequence[int] = (0,),
    deadline_s: float = DEADLINE_S,
    core: int = CLIENT_CORE,
) -> Used:
    """Run a command to its end; return the resources it used.

    Args:
        command: the program and its arguments.
        scratch: its working directory.
        expected: exit codes that are accepted.
        deadline_s: time after which it is killed.
        core: to run it on.

    Raises:
        RuntimeError: it ended with another exit code, or was killed at the deadline.
    """
    with tempfile.TemporaryFile() as stdout:
        began_s = time.monotonic()
        with started(command, scratch, stdout=stdout.fileno(), core=core, deadline_s=deadline_s) as process:
            reads = _reads_at_end(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.monotonic() - began_s
            process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        output = stdout.read()
    if process.returncode not in expected:
        raise RuntimeError(
            f"exit {process.returncode} of {' '.join(command)}\n{output[-2000:].decode(errors='replace')}"
        )
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    cpu_s, peak_bytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit_bytes
    return Used(cpu_s, wall_s, peak_bytes, output, usage.ru_nvcsw, reads)


def _reads_at_end(pid: int) -> int:
    """Wait for the end of a child without taking its status; return how often it has called `read`."""
    if not Path("/proc/self/io").exists():
        return 0
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscr:"))


@contextlib.contextmanager
def started(
    command: Sequence[str],
    scratch: Path,
    *,
    stdout: int = subprocess.DEVNULL,
    core: int = CLIENT_CORE,
    deadline_s: float = DEADLINE_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command with its own home folder; kill it at the end of the context or at the deadline."""
    home = tempfile.mkdtemp(prefix="home-", dir=scratch)  # a new one each time: limits are remembered there
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(TESTS)])),
        "HOME": home,
        "XDG_CACHE_HOME": home,
        "OPENAI_API_KEY": "benchmark",
    }
    process = popen(
        command, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=_stderr_of(stdout)
    )
    _pin(process.pid, core)
    watchdog = threading.Timer(deadline_s, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        if process.returncode is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _stderr_of(stdout: int) -> int | None:
    """Return where stderr goes: to a file together with stdout, otherwise to the terminal."""
    return subprocess.STDOUT if stdout >= 0 else None


def _pin(pid: int, core: int) -> None:
    """Pin a process to one core, if the system supports it and has more than one."""
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) > 1:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {cores[core]})


def peak_bytes(pid: int) -> int:
    """Return the peak memory of a running process; 0 if the system does not report it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a running process; 0 if the system does not report them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batchrun(*arguments: str) -> list[str]:
    """Return the command line of batchrun."""
    return [sys.executable, "-m", "batchrun", *arguments]


def program(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program in this folder."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]
