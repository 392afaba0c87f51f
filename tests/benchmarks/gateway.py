"""nginx with a limit of connections in front of a server: a hidden limit that is not the simulator's, and its books."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.endpoint import Endpoint, find_nginx, free_port, wait_for
from benchmarks.process import SERVER_CORE, started

_CONFIGURATION = """
daemon off;
pid nginx.pid;
error_log error.log crit;
worker_rlimit_nofile 8192;
events {{ worker_connections 8192; }}
http {{
  log_format book "$status $msec $request_time";
  access_log book.txt book;
  keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  limit_conn_zone $http_authorization zone=connections:1m;
  limit_conn_status 429;
  upstream server {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /v1/ {{
      limit_conn connections {slots}; proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


class Book(NamedTuple):
    """What the gateway has counted."""

    answered: int
    rejected: int
    used: float
    """Share of the slots' time that was used, from the first request to the last answer."""
    used_once_full: float
    """The same from two seconds after the first request on."""


class Gateway:
    """A gateway that is running."""

    def __init__(self, folder: Path, base_url: str, slots: int) -> None:
        self.base_url, self._folder, self._slots = base_url, folder, slots

    def book(self) -> Book:
        """Return what it has counted."""
        lines = [line.split() for line in (self._folder / "book.txt").read_text().splitlines()]
        served = [(float(end) - float(took), float(end)) for status, end, took in lines if status == "200"]
        first_s, last_s = min(began for began, _ in served), max(end for _, end in served)

        def used(from_s: float) -> float:
            busy_s = sum(max(0.0, end - max(began, from_s)) for began, end in served)
            return busy_s / (last_s - from_s) / self._slots

        rejected = sum(status == "429" for status, *_ in lines)
        return Book(len(served), rejected, used(first_s), used(first_s + 2))


@contextlib.contextmanager
def gateway(folder: Path, slots: int, latency_s: float) -> Iterator[Gateway]:
    """Start a server and a gateway that allows so many requests at once."""
    nginx = find_nginx()
    if nginx is None:
        raise RuntimeError("nginx is not installed; on Debian: apt install nginx-light")
    folder.mkdir()
    with Endpoint(folder, latency_s=latency_s) as server:
        port = free_port()
        upstream = server.base_url.removeprefix("http://").removesuffix("/v1")
        (folder / "nginx.conf").write_text(_CONFIGURATION.format(port=port, slots=slots, upstream=upstream))
        command = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        with started(command, folder, core=SERVER_CORE) as process:
            wait_for(port, process)
            yield Gateway(folder, f"http://127.0.0.1:{port}/v1", slots)
            time.sleep(0.2)
