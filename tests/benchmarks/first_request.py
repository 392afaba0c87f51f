"""The time until the first request of a run, which is then killed."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.endpoint import Endpoint
from benchmarks.process import cpu_s, peak_bytes, started


@dataclass(frozen=True)
class Beginning:
    """Time, CPU and memory until the first request; CPU and memory are 0 if the system does not report them."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def wait_for_first_request(command: list[str], endpoint: Endpoint, scratch: Path) -> Beginning:
    """Run a command until the endpoint, which must be new, has its first request; then kill it."""
    began_s = time.monotonic()
    with started(command, scratch) as process:
        first_s = endpoint.first_s()
        return Beginning(first_s - began_s, cpu_s(process.pid), peak_bytes(process.pid))
