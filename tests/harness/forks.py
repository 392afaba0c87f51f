"""Processes of the command line that do not import it: they are forked from a process that has.

To import it takes half a second of CPU, ten times as long as what a test then has it do. A fork is a child of the
process that asks for it, as any other: it can be waited for, interrupted and killed. What a fork could not show is left
to real processes: how they start, also from the wheel, and with which limits, signals and terminals.

How a fork becomes the child of a process that is not its parent: the server forks twice, and the one between ends.
Linux gives an orphan to the next process above that asks for them, which for these milliseconds is the test's.
"""

import atexit
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.engines import IS_RAY

_PR_SET_CHILD_SUBREAPER = 36
"""Source: Linux, linux/prctl.h."""

_BEFORE_PYTHON = {"LD_PRELOAD", "PYTHONPATH"}
"""Variables of what is loaded into a process or found by its imports."""

_AT_THE_START = ("LANG", "LC_", "PYTHON", "SSL_CERT_FILE")
"""Beginnings of the names of variables that are read when Python starts, or when the command line is imported."""


_lock = threading.Lock()
"""A test may start processes from several threads."""


def start(arguments: Sequence[Any], *, env: Mapping[str, str], **settings: Any) -> subprocess.Popen[str]:
    """Start the command line; in a fork, if a process with these settings of `Popen` would be the same."""
    command = [sys.executable, "-m", "batchrun", *map(str, arguments)]
    # aiohttp reads the certificates of all authorities when it is imported, which takes 40 ms. No test needs them.
    environment = {"SSL_CERT_FILE": os.devnull} | env
    process_type = _Fork if _can_fork(environment, settings) else subprocess.Popen
    return process_type(command, text=True, env=environment, **settings)


def _can_fork(environment: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    return (
        sys.platform == "linux"
        and not IS_RAY
        and "BATCHRUN_FROM_WHEEL" not in os.environ
        and not _BEFORE_PYTHON & environment.keys()
        and settings.keys() <= {"cwd", "start_new_session", "stderr", "stdin", "stdout"}
    )


class _Fork(subprocess.Popen[str]):
    """A process of the command line that is a fork. Its command is that of a real one."""

    def _execute_child(self, args: Sequence[str], *more: Any) -> None:
        """Start it, where Popen would start a program. Python 3.11 to 3.13 call this with the same arguments."""
        environment, pipes = more[5], more[9:15]
        asked = {
            "arguments": args[3:],
            "folder": os.fspath(more[4] or Path.cwd()),
            "environment": environment,
            "starts_session": more[20],
        }
        streams = [given if given >= 0 else number for number, given in enumerate((pipes[0], pipes[3], pipes[5]))]
        with _lock:
            server = _server(_at_the_start(environment))
            _adopt_orphans(True)
            try:
                socket.send_fds(server, [json.dumps(asked).encode()], streams)
                self.pid = int(server.recv(20))
            finally:
                _adopt_orphans(False)
        self._child_created = True
        self._close_pipe_fds(*pipes)


def _at_the_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in environment.items() if name.startswith(_AT_THE_START)))


@functools.cache
def _server(at_the_start: tuple[tuple[str, str], ...]) -> socket.socket:
    """Start a server for processes with these variables. It ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(theirs.fileno())]
    with theirs:
        # A process with several threads should not fork: numpy, which pyarrow imports, would start one.
        environment = {"OPENBLAS_NUM_THREADS": "1", **dict(at_the_start)}
        server = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _adopt_orphans(does: bool) -> None:
    """Have this process be the parent of orphans below it, or not."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(does), 0, 0, 0)
