"""Processes that serve on a free port of this machine during a test."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CANARY = "Say OK."
"""The prompt of batchrun's probes, which belong to no row. With random faults their number is random."""

_UP_S = 240.0
"""Timeout for the start of a server. Measured: the slowest one takes 10 s on an idle machine."""

_KEPT = ("LANG", "PATH", "TMPDIR")
"""Variables of the environment that a server gets: no keys or proxies of the user."""


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serving(
    command: Callable[[int], Sequence[str]], *, up: str = "/", folder: Path, port: int | None = None, **variables: str
) -> Iterator[str]:
    """Run a server until the context ends; yield its address, such as `http://127.0.0.1:8000`.

    Args:
        command: from the port to the command line.
        up: path that is answered with any status except 502 and 503 once the server is up.
        port: port to serve on; None: a free port.
        folder: its working directory and home, with its log.
        variables: additional environment variables.

    Raises:
        RuntimeError: it does not start; the message has the end of its log.
    """
    port = free_port() if port is None else port
    url, log = f"http://127.0.0.1:{port}", folder / f"server-{port}.log"
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command(port)),
            cwd=folder,
            env=kept | {"HOME": str(folder)} | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(url + up, process, log)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _UP_S
    while not _is_up(url):
        if process.poll() is not None or time.monotonic() > deadline_s:
            end = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} does not come up:\n{end}")
        time.sleep(0.1)


def _is_up(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code not in (502, 503)
    except OSError:
        return False
    return True
