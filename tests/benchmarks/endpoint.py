"""The endpoint of the benchmarks: nginx if it is installed, otherwise the server of `answers.py`."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.answers import REFUSAL, answer_of
from benchmarks.process import SERVER_CORE, program, started

SILENT = -1.0
"""Latency of an endpoint that never answers."""

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    split_clients "$connection $connection_requests" $refused {{ {refused_share} * 0; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        if ($refused) {{ return 400 '{refusal}'; }}
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


@contextlib.contextmanager
def fast_endpoint(
    scratch: Path, *, refuse_every: int = 0, answer_bytes: int = 0, is_typed: bool = False
) -> Iterator[str]:
    """Serve the static answer as fast as this machine can; yield the base URL.

    Args:
        scratch: folder for its files.
        refuse_every: about one of this many requests is refused with a 400, which fails its row; 0: none.
        answer_bytes: the answer's text is made longer until it has so many bytes.
        is_typed: whether the answer is an object of eight columns.
    """
    nginx = find_nginx()
    if nginx is None:
        manner = {"refuse_every": refuse_every, "answer_bytes": answer_bytes, "is_typed": int(is_typed)}
        with Endpoint(scratch, **manner) as endpoint:
            yield endpoint.base_url
        return
    folder = scratch / "nginx"
    folder.mkdir(exist_ok=True)
    port = free_port()
    written = folder / "nginx.conf"
    answer = answer_of(answer_bytes, is_typed=is_typed).decode().replace("\\", "\\\\")
    values = {"answer": answer, "refusal": REFUSAL.decode(), "port": port}
    values |= {"folder": json.dumps(str(folder))[1:-1]}
    values |= {"refused_share": f"{100 / refuse_every:.2f}% 1;" if refuse_every else ""}
    written.write_text(_NGINX.format(**values))
    command = [nginx, "-e", str(folder / "error.log"), "-c", str(written)]
    with started(command, scratch, core=SERVER_CORE) as process:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/v1"


def server_name() -> str:
    """Return the name of the server that `fast_endpoint` starts."""
    return "uvloop" if find_nginx() is None else "nginx"


def find_nginx() -> str | None:
    """Return where nginx is; None if it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens on a port."""
    deadline_s = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError("nginx does not serve; its messages are above. It must be 1.19.5 or newer")
        time.sleep(0.01)


class Endpoint(contextlib.AbstractContextManager["Endpoint"]):
    """The server of `answers.py` in its own process, with the time of its first request and its counts."""

    def __init__(self, scratch: Path, **manner: float) -> None:
        """Prepare the server; `with` starts it.

        Args:
            scratch: folder for its files.
            manner: its flags by name: `latency_s` (or `SILENT`), `tokens`, `per_s`, `refuse_every`,
                `answer_bytes`, `is_typed`, `full`.
        """
        flags = [part for name, value in manner.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        self._started = started(program("answers", *flags), scratch, stdout=subprocess.PIPE, core=SERVER_CORE)

    def __enter__(self) -> "Endpoint":
        self._process = self._started.__enter__()
        self.base_url = f"http://127.0.0.1:{self._heard()['port']}/v1"
        return self

    def __exit__(self, *failure: Any) -> None:
        self._started.__exit__(*failure)

    def first_s(self) -> float:
        """Wait for the first request; return its time on the monotonic clock."""
        first_s: float = self._heard()["first_s"]
        return first_s

    def counts(self) -> dict[str, Any]:
        """Stop the server; return its counts."""
        self._process.send_signal(signal.SIGTERM)
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("the benchmark's server has ended too early; its messages are above")
        words: dict[str, Any] = json.loads(line)
        return words
