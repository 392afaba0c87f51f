"""A run on a Ray cluster, while a worker and a node die; and the key in Ray's files. `make test-ray` has more."""

import os
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness.ledger import serving
from harness.ray_cluster import MODEL, Run, cluster_of, workers_here, write_prompts

from batchrun.simulator import Settings

pytest.importorskip("ray", reason="Ray is not installed")

ROWS, SLOTS = 1_200, 40

KEY = "canary-of-ray-5c07e1b9"
"""Nodes do not have it: the driver sends it to workers."""


def test_a_worker_and_a_node_that_die_cost_no_row(tmp_path: Path) -> None:
    """Bought again is at most what was in flight at them, and what they had not yet handed over."""
    with cluster_of(1) as cluster, serving(Settings(concurrency_limit=SLOTS, latency_s=0.3, models=())) as served:
        base_url, ledger = served
        node = cluster.add_node(num_cpus=1)
        prompts = write_prompts(tmp_path, ROWS)
        flags = ("--engine", "ray", "--ray-address", cluster.address)
        run = Run(tmp_path, prompts, "-m", MODEL, "-o", "out", "--base-url", base_url, *flags, OPENAI_API_KEY=KEY)
        run.wait_until(lambda: len(ledger.bought) > 200 and len(workers_here()) == 2)
        os.kill(workers_here()[0], signal.SIGKILL)
        run.wait_until(lambda: len(ledger.bought) > 500)
        cluster.remove_node(node, allow_graceful=False)
        assert run.wait() == 0, run.text
        files = files_of(Path(cluster.head_node.get_session_dir_path()))
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["completed"] * ROWS
    again = sum(count - 1 for count in Counter(key for _, key in ledger.bought).values())
    assert again <= 2 * SLOTS
    assert "has died" in run.text
    assert any(b"Actor" in content for content in files.values())  # these are the files of this run
    assert [path for path, content in files.items() if KEY.encode() in content] == []
    assert "raylet" not in run.text  # Ray itself would print on stdout, where programs expect JSON


def files_of(session: Path) -> dict[Path, bytes]:
    """Return the files in which Ray keeps the logs and the settings of a cluster."""
    return {path: path.read_bytes() for path in session.rglob("*") if path.is_file() and not path.is_symlink()}
