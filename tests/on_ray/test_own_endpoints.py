"""A base URL of loopback is the node's own: a server on each node, with its own limit and health."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from harness.ray_cluster import MODEL, Run
from harness.reference import ROOT
from on_ray.nodes import Node, Nodes
from on_ray.runs import write_prompts

PORT, ROWS = 8_123, 3_000

_STATS = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{PORT}/stats", timeout=10).read().decode())
"""


@contextlib.contextmanager
def server(node: Node, slots: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serve on the loopback address of a node."""
    simulate = (sys.executable, "-m", "batchrun", "simulate", "--port", str(PORT), "--latency-s", "0.5")
    command = node.machine.command(*simulate, "--concurrency-limit", str(slots))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def answered(node: Node) -> int:
    """Return how many requests a node's server has answered; 0 where there is none."""
    asked = subprocess.run(node.machine.command(sys.executable, "-c", _STATS), capture_output=True, text=True)
    return 0 if asked.returncode else int(json.loads(asked.stdout)["answered"])


def test_each_node_asks_its_own_server_and_rows_leave_a_node_whose_server_is_gone(tmp_path: Path, nodes: Nodes) -> None:
    """Two of three nodes have a server, and one of these ends in the middle: no row waits for it."""
    url = f"http://127.0.0.1:{PORT}/v1"
    flags = ("--engine", "ray", "--ray-address", nodes.address, "-c", "60", "--allow-http")
    with contextlib.ExitStack() as opened:
        servers = [opened.enter_context(server(node, 10)) for node in nodes.nodes[:2]]
        run = Run(tmp_path, write_prompts(tmp_path, ROWS), "-m", MODEL, "-o", "out", "--base-url", url, *flags)
        run.wait_until(lambda: all(answered(node) > 100 for node in nodes.nodes[:2]))
        status = (sys.executable, "-m", "batchrun", "status", "out")
        shown = subprocess.run(status, cwd=tmp_path, capture_output=True, text=True).stdout
        servers[1].kill()
        servers[1].wait()
        before = [answered(node) for node in nodes.nodes[:1]]
        assert run.wait() == 0, run.text
        done = [answered(node) for node in nodes.nodes[:1]]
    print(shown)
    print(run.text)
    print(f"answered before and after: {before}, {done}")
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["completed"] * ROWS
    assert re.search("^paused ", shown, re.MULTILINE) is None  # rows waited until the first server was asked, at most
    assert run.text.count(" on node ") >= 2  # the one without a server, and the one whose server has ended
