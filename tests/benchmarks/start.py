"""Times to start: the help, an import, a run of one row, the first request of a large file."""

import sys
from pathlib import Path

from benchmarks.endpoint import SILENT, Endpoint, fast_endpoint
from benchmarks.figures import Figure
from benchmarks.first_request import wait_for_first_request
from benchmarks.inputs import write_bytes
from benchmarks.process import Used, batchrun, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

MORE_TIMES = 2
"""How many more times than `rounds` the short starts are measured; the median counts."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the wall time of each, and CPU and memory of the run of one row."""
    prompts = scratch / "large.jsonl"
    write_bytes(prompts, sizes.big_mib << 20)
    times = range(sizes.rounds + MORE_TIMES if sizes.rounds > 1 else 1)
    shown = [use(batchrun("--help"), scratch) for _ in times]
    imported = [use([sys.executable, "-c", "import batchrun"], scratch) for _ in times]
    with fast_endpoint(scratch) as base_url:
        commands = [run_command(prompts, scratch / f"one-{n}", base_url, "--limit", "1") for n in times]
        ran = [use(command, scratch) for command in commands]
    one = _middle(ran)
    return [
        Figure("batchrun --help", _middle(shown).wall_s, "s", at_most=0.25),
        Figure("import batchrun", _middle(imported).wall_s, "s", at_most=0.25),
        Figure("a run of one row: CPU", one.cpu_s, "s"),
        Figure("a run of one row: wall", one.wall_s, "s"),
        Figure("a run of one row: peak memory", one.peak_bytes / 2**20, "MiB"),
        _first_of_large(prompts, sizes, scratch),
    ]


def _first_of_large(prompts: Path, sizes: Sizes, scratch: Path) -> Figure:
    waits_s = []
    for number in range(sizes.rounds):
        with Endpoint(scratch, latency_s=SILENT) as endpoint:
            command = run_command(prompts, scratch / f"large-{number}", endpoint.base_url)
            waits_s.append(wait_for_first_request(command, endpoint, scratch).wall_s)
    return Figure(f"first request of {sizes.big_mib:,} MiB of JSON Lines", min(waits_s), "s", at_most=2)


def _middle(runs: list[Used]) -> Used:
    return sorted(runs, key=lambda used: used.wall_s)[len(runs) // 2]
