"""A Ray cluster of several nodes on this machine, and batchrun's driver next to it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import orjson

from harness.reference import ROOT

HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 4,
}
"""A node that is killed is found out within a few seconds, not within twenty."""

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@contextlib.contextmanager
def cluster_of(nodes: int) -> Iterator[Any]:
    """Run a cluster; yield it. The head has no room for workers, so that they are on the other nodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


class Run:
    """A run in its own process; what it prints is in a file, since Ray's processes hold pipes open."""

    _started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, folder: Path, *arguments: Any, python: str = sys.executable, **variables: str) -> None:
        self.log = folder / "log.txt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [python, "-m", "batchrun", "run", *map(str, arguments)],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "x"} | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started.append(self.process)

    @classmethod
    def end_all(cls) -> None:
        """Kill the runs that go on: a test that failed left them, and their workers hold the nodes."""
        while cls._started:
            process = cls._started.pop()
            process.kill()
            process.wait()

    @property
    def text(self) -> str:
        """All that was printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self, timeout_s: float = 180) -> int:
        """Wait for its end; return the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it did not end; it printed:\n{self.text[-3000:]}") from None

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait while it runs until a condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.text[-3000:]
            assert time.monotonic() < deadline_s, self.text[-3000:]
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


def write_prompts(folder: Path, rows: int) -> Path:
    """Write different prompts; return the file."""
    path = folder / "prompts.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": row, "prompt": f"Say {row}."}) + b"\n" for row in range(rows)))
    return path


def workers_here() -> list[int]:
    """Return the process ids of the workers of clusters that this process has started."""
    found = []
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_worker = each.name.isdigit() and (each / "cmdline").read_bytes().startswith(b"ray::Actor")
            if is_worker and os.getpid() in _ancestors(int(each.name)):
                found.append(int(each.name))
    return found


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
