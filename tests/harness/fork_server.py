"""A server that has imported the command line, and makes each process of it by a fork. `forks` is its client."""

import gc
import importlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

_COMMANDS = ("export", "publish", "report", "run", "show", "status", "watch")

_IMPORTED_LATER = (
    *("aiohttp.connector", "uvloop", "pyarrow.compute", "pyarrow.parquet"),
    *("batchrun.__main__", "batchrun.checkpoint", "batchrun.endpoint.batches", "batchrun.report.page"),
)
"""What commands import only when they need it."""


def main() -> None:
    """Import, then fork for each request, until the client is gone. In a fork, run the command instead."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    from batchrun.cli.memory import take_little

    take_little()  # comes before the imports in a process of its own too
    for name in (*(f"batchrun.cli.{each}" for each in _COMMANDS), *_IMPORTED_LATER):
        importlib.import_module(name)
    gc.freeze()
    while True:
        message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:
            return
        if not (between := os.fork()):
            break
        os.waitpid(between, 0)
        for stream in streams:
            os.close(stream)
    process = json.loads(message)
    _leave(process["starts_session"])
    connection.send(b"%d" % os.getpid())
    connection.close()
    _become(process, streams)
    importlib.import_module("batchrun.__main__").main()


def _leave(starts_session: bool) -> None:
    """Fork once more, and return in the fork when the client is its parent."""
    between = os.getpid()
    if os.fork():
        os._exit(0)
    if starts_session:
        os.setsid()
    while os.getppid() == between:
        time.sleep(0.000_1)


def _become(process: dict[str, Any], streams: list[int]) -> None:
    """Make what a process has when Python has started it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0)  # noqa: SIM115  # they stay open to the end
    sys.stdout = sys.__stdout__ = open(1, "w")  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    os.chdir(process["folder"])
    os.environ.clear()
    os.environ.update(process["environment"])
    time.tzset()
    sys.argv[:] = [importlib.import_module("batchrun.__main__").__file__, *process["arguments"]]
    sys.path[0] = str(Path.cwd())


if __name__ == "__main__":
    main()
