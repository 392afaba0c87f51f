"""The same job on a Ray cluster: the same answers, the same promises, whatever of the cluster dies."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.ledger import Ledger, serving
from real.ray_cluster import MODEL, Run, cluster_of, workers_of, write_prompts

from batchrun.simulator import Settings

pytest.importorskip("ray", reason="Ray is not installed")

KEY = "canary-of-ray-1d8f3b7c"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes and a head."""
    with cluster_of(2) as cluster:
        yield cluster


@pytest.fixture
def endpoint() -> Iterator[tuple[str, Ledger]]:
    """A simulator with 40 slots that answers after a third of a second."""
    with serving(Settings(concurrency_limit=40, latency_s=0.3, models=())) as serves:
        yield serves


def started(folder: Path, cluster: Any, base_url: str, rows: int, *more: Any, **variables: str) -> Run:
    """Start a run on the cluster."""
    prompts = write_prompts(folder, rows)
    flags = ("--engine", "ray", "--ray-address", cluster.address) if cluster is not None else ()
    return Run(folder, prompts, "-m", MODEL, "-o", "out", "--base-url", base_url, *flags, *more, **variables)


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """Return the results."""
    return pq.read_table(folder / "out" / "results.parquet").to_pylist()


def bought_again(ledger: Ledger) -> int:
    """Return how many answers of rows were bought more than once."""
    return sum(count - 1 for key, count in Counter(key for _, key in ledger.bought).items())


def test_the_answers_are_those_of_one_process(tmp_path: Path, cluster: Any, endpoint) -> None:
    """All columns that do not depend on time; and the limit is held."""
    base_url, ledger = endpoint
    tables = []
    for name, where in (("here", None), ("there", cluster)):
        folder = tmp_path / name
        folder.mkdir()
        run = started(folder, where, base_url, 600)
        assert run.wait() == 0, run.text
        tables.append([{key: row[key] for key in ("id", "response", "status", "model")} for row in rows_in(folder)])
    assert tables[0] == tables[1]
    assert ledger.peak_in_flight <= 42


def test_a_worker_and_a_node_that_die_cost_no_row(tmp_path: Path, cluster: Any, endpoint) -> None:
    """Bought again is at most what was in flight at them, and what they had not yet handed over."""
    base_url, ledger = endpoint
    node = cluster.add_node(num_cpus=1)
    run = started(tmp_path, cluster, base_url, 2_400, "--workers", "3")
    run.wait_until(lambda: len(ledger.bought) > 400 and len(workers_of()) == 3)
    os.kill(workers_of()[0], signal.SIGKILL)
    run.wait_until(lambda: len(ledger.bought) > 1_000)
    cluster.remove_node(node, allow_graceful=False)
    assert run.wait() == 0, run.text
    rows = rows_in(tmp_path)
    assert len(rows) == 2_400
    assert all(row["status"] == "completed" for row in rows)
    assert bought_again(ledger) <= 2 * 40
    assert re.search(r"worker \d on", run.text), run.text
    assert "raylet" not in run.text  # Ray itself would print on stdout, where programs expect JSON


def test_an_interrupted_run_drains_and_continues_on_one_machine(tmp_path: Path, cluster: Any, endpoint) -> None:
    """Nothing is bought twice."""
    base_url, ledger = endpoint
    run = started(tmp_path, cluster, base_url, 1_200)
    run.wait_until(lambda: len(ledger.bought) > 300)
    run.signal(signal.SIGINT)
    assert run.wait() == 130, run.text
    assert started(tmp_path, None, base_url, 1_200).wait() == 0
    assert len(rows_in(tmp_path)) == 1_200
    assert bought_again(ledger) == 0


def test_a_driver_that_is_killed_continues_on_the_cluster(tmp_path: Path, cluster: Any, endpoint) -> None:
    """What it reports as possibly bought twice is not below the truth."""
    base_url, ledger = endpoint
    run = started(tmp_path, cluster, base_url, 1_200)
    run.wait_until(lambda: len(ledger.bought) > 300)
    run.signal(signal.SIGKILL)
    run.wait()
    again = started(tmp_path, cluster, base_url, 1_200)
    assert again.wait() == 0, again.text
    assert len(rows_in(tmp_path)) == 1_200
    reported = int(again.text.split(" requests had been sent and not recorded")[0].rsplit(" ", 1)[-1].replace(",", ""))
    assert bought_again(ledger) <= reported


def test_the_key_is_not_in_the_files_of_ray(tmp_path: Path, cluster: Any, endpoint) -> None:
    """It is handed over in an argument, since the nodes do not have it."""
    base_url, _ = endpoint
    run = started(tmp_path, cluster, base_url, 60, "--allow-http", OPENAI_API_KEY=KEY)
    assert run.wait() == 0, run.text
    assert KEY not in run.text
    session = Path(cluster.head_node.get_session_dir_path())
    for path in session.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_wrong_address_is_one_line(tmp_path: Path) -> None:
    """With the cure, where it is Ray's client."""
    run = Run(tmp_path, write_prompts(tmp_path, 3), "-m", MODEL, "--engine", "ray", "--ray-address", "ray://head:10001")
    assert run.wait() == 2
    assert "must be HOST:PORT of the head node" in run.text
    assert "Traceback" not in run.text
