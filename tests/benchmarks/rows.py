"""The cost of a row: CPU of the whole process, from its start to the finished Parquet, compared with a bare loop.

Each is run several times, alternating, and the minimum counts: other work of the machine only adds to it.
"""

import json
from pathlib import Path

from benchmarks.answers import MODEL
from benchmarks.endpoint import fast_endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import Used, batchrun, program, use
from benchmarks.sizes import Sizes

IN_FLIGHT = 64


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return CPU per row of the bare loop, the openai client and batchrun, and their ratios."""
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, sizes.rows)
    bare_s: list[float] = []
    runs: list[Used] = []
    with fast_endpoint(scratch) as base_url:
        for number in range(sizes.rounds):
            bare_s.append(_peer("bare", base_url, sizes.rows, scratch))
            runs.append(use(run_command(prompts, scratch / f"run-{number}", base_url), scratch))
        openai_us = 1e6 * _peer("openai", base_url, sizes.openai_rows, scratch) / sizes.openai_rows
    bare_us = 1e6 * min(bare_s) / sizes.rows
    ours = min(runs, key=lambda used: used.cpu_s)
    ours_us = 1e6 * ours.cpu_s / sizes.rows
    return [
        Figure("bare aiohttp loop: CPU a row", bare_us, "µs"),
        Figure("openai client: CPU a row", openai_us, "µs"),
        Figure("batchrun: CPU a row, start and Parquet included", ours_us, "µs"),
        Figure("batchrun: rows a second", sizes.rows / ours.wall_s, "/s"),
        Figure("batchrun: peak memory", ours.peak_bytes / 2**20, "MiB", at_most=200),
        Figure("batchrun over the bare loop", ours_us / bare_us, at_most=1.3),
        Figure("the openai client over batchrun", openai_us / ours_us, at_least=15),
    ]


def run_command(prompts: Path, directory: Path, base_url: str, *flags: str, in_flight: int = IN_FLIGHT) -> list[str]:
    """Return the command that runs a file of prompts."""
    where = ["-m", MODEL, "-o", str(directory), "--base-url", base_url, "-c", str(in_flight), "--quiet"]
    return batchrun("run", str(prompts), *where, *flags)


def _peer(name: str, base_url: str, rows: int, scratch: Path) -> float:
    """Return the CPU seconds of another client, without its start."""
    command = program("floor", name, base_url, str(rows), str(IN_FLIGHT))
    cpu_s: float = json.loads(use(command, scratch).stdout)["cpu_s"]
    return cpu_s
