"""Behind nginx: a limit of connections, a limit of requests, and an upstream that is not there yet."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts
from real.servers import free_port, serving

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

CONFIGURATION = """
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  limit_conn_zone $http_authorization zone=connections:1m;
  limit_req_zone $http_authorization zone=requests:1m rate=100r/s;
  limit_conn_status 429;
  limit_req_status 429;
  server {{
    listen 127.0.0.1:{port};
    location = /up {{ return 204; }}
    location /v1/ {{ {limit} proxy_pass {upstream}/v1/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

Nginx = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def nginx(program: Any, tmp_path: Path) -> Nginx:
    """Start nginx in front of an upstream, with a limit; yield the base URL."""
    command = program("nginx", cure="on Debian: apt install nginx-light")

    @contextmanager
    def nginx(upstream: str, limit: str = "") -> Iterator[str]:
        def line(port: int) -> list[str]:
            written = CONFIGURATION.format(port=port, limit=limit, upstream=upstream.removesuffix("/v1"))
            (tmp_path / "nginx.conf").write_text(written)
            return [command, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]

        with serving(line, up="/up", folder=tmp_path) as url:
            yield f"{url}/v1"

    return nginx


def audit(done: Any, prompts: list[str], server: Any) -> dict[str, Any]:
    """Check that no row is lost or bought twice and that the usage is the upstream's; return it."""
    assert (done.code, done.json["completed"], done.json["failed"]) == (0, len(prompts), 0), done.stderr
    assert [row["prompt"] for row in results()] == prompts
    assert all(row["response"] for row in results())
    (usage,) = done.json["models"]
    assert server.has_billed(usage)
    assert server.stats()["answered"] == len(prompts)
    return dict(usage)


def test_a_limit_of_connections_is_found_and_held(nginx: Nginx, upstream: Any, batchrun: Any) -> None:
    """Sixteen in flight per key, an HTML page for more: few requests are rejected, and the slots are used."""
    prompts = [f"Say {number}." for number in range(800)]
    with upstream("--latency-s", "0.1") as server, nginx(server.base_url, "limit_conn connections 16;") as base_url:
        to = ("-m", MODEL, "--base-url", base_url, "-o", "out", "--json")
        done = batchrun("run", write_prompts(*prompts), *to, OPENAI_API_KEY="sk-test")
        usage = audit(done, prompts, server)
        stats = server.stats()
    assert 0 < usage["throttled"] < 0.1 * usage["attempts"]
    assert 14 <= stats["peak_in_flight"] <= 16


def test_no_row_fails_because_of_a_limit_of_requests(nginx: Nginx, upstream: Any, batchrun: Any) -> None:
    """The limit is 100 per second; the error page has no limit and no time to wait."""
    prompts = [f"Say {number}." for number in range(500)]
    limit = "limit_req zone=requests burst=10 nodelay;"
    with upstream("--latency-s", "0.05") as server, nginx(server.base_url, limit) as base_url:
        to = ("-m", MODEL, "--base-url", base_url, "-o", "out", "--json")
        done = batchrun("run", write_prompts(*prompts), *to, OPENAI_API_KEY="sk-test")
        usage = audit(done, prompts, server)
    assert 0 < usage["throttled"] < 0.5 * usage["attempts"]


def test_an_outage_behind_a_gateway_is_waited_out(nginx: Nginx, upstream: Any, batchrun: Any, tmp_path: Path) -> None:
    """Its 502 pages fail no row and count as no attempt: the run continues when the upstream is back."""
    prompts = [f"Say {number}." for number in range(100)]
    port = free_port()
    with nginx(f"http://127.0.0.1:{port}/v1") as base_url, ThreadPoolExecutor(1) as threads:
        to = ("-m", MODEL, "--base-url", base_url, "-o", "out", "--json", "--max-attempts", "1")
        running = threads.submit(batchrun, "run", write_prompts(*prompts), *to, OPENAI_API_KEY="sk-test")
        while not any(b"connect() failed" in log.read_bytes() for log in tmp_path.glob("*.log")):
            assert not running.done(), running.result().stderr
            time.sleep(0.01)
        with upstream("--latency-s", "0.05", port=port) as server:
            usage = audit(running.result(), prompts, server)
    assert usage["attempts"] > 100
