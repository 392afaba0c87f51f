"""The limit over a real socket: it is found, remembered and shared."""

import signal
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def prompts(name: str, count: int) -> str:
    """Write a file of prompts; return its name."""
    Path(name).write_bytes(b"".join(b'{"prompt": "%s %d"}\n' % (name.encode(), row) for row in range(count)))
    return name


def test_a_hidden_limit_is_found_and_no_row_is_lost(run: Any, endpoint: Any) -> None:
    """Nothing is configured; few requests are rejected, and the slots are used."""
    endpoint.change(latency_s=0.05, concurrency_limit=10)
    assert run(prompts("in.jsonl", 600)).code == 0
    assert endpoint.stats.answered == 600
    assert endpoint.stats.rejected["concurrency"] <= 30
    assert pq.read_metadata("out/results.parquet").num_rows == 600


@pytest.mark.local_only("workers do not start at the same moment")
def test_the_next_run_starts_near_the_limit(run: Any, endpoint: Any) -> None:
    """Even in another run directory: it uses all slots immediately."""
    endpoint.change(latency_s=0.05, latency_sigma=0, concurrency_limit=32)
    run(prompts("first.jsonl", 640))
    endpoint.change(latency_s=0.6)
    run(prompts("second.jsonl", 32), "--restart")
    latest = pq.read_table("out/results.parquet")["finished_at"].to_pylist()
    assert (max(latest) - min(latest)).total_seconds() < 0.6  # one round; with eight at a time it would take three


def test_the_history_of_the_limit_is_recorded(run: Any, endpoint: Any) -> None:
    """The report needs the time, the new value and the reason of each change."""
    endpoint.change(latency_s=0.02, concurrency_limit=5)
    run(prompts("in.jsonl", 100))
    with sqlite3.connect("out/checkpoint.sqlite") as connection:
        history = connection.execute("SELECT at_ms, requests, reason FROM limits ORDER BY at_ms").fetchall()
    connection.close()
    assert history
    assert all(at_ms > 1_700_000_000_000 and requests >= 1 and reason for at_ms, requests, reason in history)


def test_the_ceiling_is_never_exceeded(run: Any, endpoint: Any) -> None:
    """The endpoint would accept more."""
    endpoint.change(latency_s=0.02, concurrency_limit=None)
    run(prompts("in.jsonl", 200), "-c", 7)
    assert endpoint.stats.peak_in_flight == 7


def test_two_runs_of_one_project_share_its_limit(spawn: Any, endpoint: Any) -> None:
    """The second run gets slots, although the first one started earlier and uses all of them."""
    endpoint.change(latency_s=0.15, concurrency_limit=12)
    common = ["-m", MODEL, "--base-url", endpoint.base_url, "--quiet"]
    first = spawn("run", prompts("first.jsonl", 4_000), *common, "-o", "first")
    endpoint.wait(lambda: endpoint.stats.answered > 60)
    second = spawn("run", prompts("second.jsonl", 60), *common, "-o", "second")
    assert second.wait(timeout=40) == 0
    assert first.poll() is None, "the first should still be running: the second had its share"
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=40) == 130
    settled = [pq.read_metadata(f"{name}/results.parquet").num_rows for name in ("first", "second")]
    assert settled[1] == 60
    assert sum(settled) == endpoint.stats.answered
