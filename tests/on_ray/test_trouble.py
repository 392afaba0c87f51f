"""Nodes that join, have another version or too little memory, a head that dies, and an object store that is full."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
from harness.ray_cluster import MODEL, Run
from harness.reference import ROOT
from on_ray.books import Books, keeping
from on_ray.nodes import Node, Nodes, nodes_of
from on_ray.runs import check_results, started

SLOTS, ROWS = 40, 1_500

_FILLS = """
import sys
import ray

ray.init(address=sys.argv[1], log_to_driver=False)
kept = [ray.put(bytes(10_000_000)) for _ in range(int(sys.argv[2]))]
print("full", flush=True)
sys.stdin.read()
"""
"""Keeps objects in the store of the head, which the driver shares."""


_NO_MEMORY = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "8000"}
"""Of a node: the share of its memory above which Ray kills workers, and how often it looks."""


@contextmanager
def one_more(nodes: Nodes, **variables: str) -> Iterator[Node]:
    """Add a node, and remove it at the end."""
    node = nodes.add(**variables)
    try:
        yield node
    finally:
        node.kill()
        nodes.nodes.remove(node)


def engine_of(folder: Path) -> dict[str, Any]:
    """Return what run.json has of the workers."""
    engine: dict[str, Any] = json.loads((folder / "out" / "run.json").read_text())["engine"]
    return engine


def test_a_node_that_joins_during_a_run_is_used(tmp_path: Path, nodes: Nodes) -> None:
    """Within seconds of its start."""
    folder = tmp_path / "run"
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books:
        run = started(folder, nodes, books, 3_000, "-c", SLOTS)
        run.wait_until(lambda: books.in_flight > 0)
        with one_more(nodes) as node:
            run.wait_until(lambda: any(each.peer == node.machine.data_address for each in books.requests))
            assert run.wait() == 0, run.text
        check_results(folder, 3_000)
        by_new = sum(each.peer == node.machine.data_address for each in books.requests)
        assert books.again == []
        assert books.peak <= SLOTS
    engine = engine_of(folder)
    assert len(engine["workers"]) == len(nodes.nodes) + 1
    assert engine["workers"][-1]["answered"] == by_new > 0
    print(f"the new node answered {by_new} of 3,000 rows")


def test_workers_that_ray_kills_for_want_of_memory_are_dead_ones(tmp_path: Path, nodes: Nodes) -> None:
    """They cost no attempt. One node has less memory left than Ray wants, all the time: others answer its rows."""
    folder = tmp_path / "run"
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books, one_more(nodes, **_NO_MEMORY) as node:
        nodes.wait(len(nodes.nodes) + 1)
        run = started(folder, nodes, books, ROWS, "-c", SLOTS)
        assert run.wait() == 0, run.text
        check_results(folder, ROWS)
        killed = _killed_for_memory(nodes)
    print(run.text)
    there = sum(each.peer == node.machine.data_address for each in books.requests)
    print(f"{killed} workers killed by Ray; {there} requests sent there, {len(books.again)} bought again")
    assert killed > 0
    assert "(its node had too little memory left)" in run.text
    assert "Traceback" not in run.text
    # What a dead worker had in flight keeps the endpoint busy for a moment, so that it rejects others.
    attempts = sum(row["attempts"] for row in pq.read_table(folder / "out" / "results.parquet").to_pylist())
    assert ROWS <= attempts <= ROWS + books.rejected
    assert {each.peer for each in books.again} <= {node.machine.data_address}


def _killed_for_memory(nodes: Nodes) -> int:
    """Return how many workers the nodes' logs say were killed since memory was short."""
    logs = (path.read_text(errors="replace") for path in (nodes.session / "logs").glob("raylet*.out"))
    return sum(len(re.findall("Killing worker|killing .*worker", text)) for text in logs)


def test_a_node_with_another_version_is_named(tmp_path: Path, nodes: Nodes) -> None:
    """With the cure: its workers may not understand what they are sent."""
    shutil.copytree(ROOT / "batchrun", tmp_path / "other" / "batchrun")
    place = tmp_path / "other" / "batchrun" / "__init__.py"
    text = place.read_text()
    version = re.search(r'__version__ = "(.+)"', text)
    assert version is not None
    place.write_text(text.replace(version[0], '__version__ = "99.9"'))
    with (
        keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books,
        one_more(nodes, PYTHONPATH=str(tmp_path / "other")),
    ):
        nodes.wait(len(nodes.nodes) + 1)
        run = started(tmp_path / "run", nodes, books, ROWS, "-c", SLOTS)
        assert run.wait() == 2, run.text
    print(run.text)
    assert re.search(rf"node \S+ has batchrun 99.9, and this machine has {re.escape(version[1])}; ", run.text)
    assert "install the same version of batchrun on all nodes" in run.text
    assert "Traceback" not in run.text


def test_an_object_store_that_is_full_costs_no_row(tmp_path: Path, nodes: Nodes) -> None:
    """Prompts are so long that rows travel through it; other objects have filled it."""
    with keeping(Books(SLOTS, (0.3, 0.8)), nodes.data_address) as books:
        prompts = tmp_path / "prompts.jsonl"
        lines = (orjson.dumps({"id": row, "prompt": f"Say {row}. {'x' * 100_000}"}) for row in range(600))
        prompts.write_bytes(b"\n".join(lines))
        filling = subprocess.Popen(
            [sys.executable, "-c", _FILLS, nodes.address, "12"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            assert filling.stdout is not None
            assert filling.stdout.readline() == b"full\n"
            flags = ("--engine", "ray", "--ray-address", nodes.address, "-c", SLOTS, "--allow-http", "--yes")
            run = Run(tmp_path, prompts, "-m", MODEL, "-o", "out", "--base-url", books.base_url, *flags)
            began_s = time.monotonic()
            assert run.wait() == 0, run.text
        finally:
            filling.kill()
            filling.communicate()
        rows = pq.read_table(tmp_path / "out" / "results.parquet", columns=["status", "attempts"]).to_pylist()
        print(f"600 rows of 100 kB in {time.monotonic() - began_s:.0f} s, {len(books.again)} bought again")
        print(run.text)
        assert [(row["status"], row["attempts"]) for row in rows] == [("completed", 1)] * 600
        assert books.again == []
    assert "Traceback" not in run.text


def test_a_head_that_dies_holds_up_no_answers(tmp_path: Path) -> None:
    """Workers and driver know each other; only new workers would need the head."""
    folder = tmp_path / "run"
    with nodes_of(2) as own, keeping(Books(SLOTS, (0.3, 1.5)), own.data_address) as books:
        run = started(folder, own, books, 1_500, "-c", SLOTS)
        run.wait_until(lambda: len(books.requests) > 200)
        os.kill(gcs_of(own), signal.SIGKILL)
        assert run.wait() == 0, run.text
        check_results(folder, 1_500)
        assert books.again == []


def gcs_of(nodes: Nodes) -> int:
    """Return the process id of the head's server."""
    for each in Path("/proc").iterdir():
        with suppress(OSError):
            command = (each / "cmdline").read_bytes() if each.name.isdigit() else b""
            if b"/gcs_server\0" in command and str(nodes.folder).encode() in command:
                return int(each.name)
    raise AssertionError("there is none")
