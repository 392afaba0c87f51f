"""A Ray cluster for the benchmarks: apart from the driver, so that its processes' time is not the driver's."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import cpu_s

_STARTS_S = 60.0

_NICENESS = "RAY_worker_niceness"
"""Workers are at 15 otherwise: whatever else the machine does would come first."""


@dataclass(frozen=True)
class RayNode:
    """A node that is the whole cluster."""

    address: str
    processes: tuple[int, ...]
    """Ray's own."""
    parent: int
    """The one among them whose children are the workers."""

    def ray_s(self) -> float:
        """Return the CPU seconds of Ray's own processes so far."""
        return sum(map(cpu_s, self.processes))

    def flags(self, workers: int) -> list[str]:
        """Return the flags of a run there."""
        return ["--engine", "ray", "--ray-address", self.address, "--workers", str(workers)]

    def workers(self, count: int) -> list[int]:
        """Wait until there are so many workers; return their process ids."""
        deadline_s = time.monotonic() + _STARTS_S
        while len(found := self._workers()) < count and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return found

    def _workers(self) -> list[int]:
        found = []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                is_worker = each.name.isdigit() and (each / "cmdline").read_bytes().startswith(b"ray::Actor")
                if is_worker and int((each / "stat").read_text().rpartition(")")[2].split()[1]) == self.parent:
                    found.append(int(each.name))
        return found


@contextlib.contextmanager
def ray_node(workers: int) -> Iterator[RayNode]:
    """Start a cluster of one node with a processor for each worker; yield it."""
    os.environ[_NICENESS] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": workers, "include_dashboard": False})
    try:
        started = cluster.head_node.all_processes
        processes = tuple(each.process.pid for group in started.values() for each in group)
        yield RayNode(cluster.address, processes, started["raylet"][0].process.pid)
    finally:
        cluster.shutdown()
