"""Many in flight: how many rows a second come from a server of one second's latency, once the pool is full."""

import statistics
from pathlib import Path
from typing import Any

from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import Used, program, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

FULL_SHARE = 0.99
"""Share of the slots in use from which on the pool counts as full."""

RAMP_TURNS = 8
"""Rows a slot beyond `turns`, while the run finds out that so many may be in flight."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the rate once full over what is to be had, and what it costs."""
    slots, latency_s = sizes.in_flight, sizes.latency_ms / 1000
    rows = slots * (sizes.turns + RAMP_TURNS)
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, rows)
    run = run_command(prompts, scratch / "run", "{base_url}", in_flight=slots)
    used, counts, share = _full(run, sizes, scratch)
    _, _, bare_share = _full(program("floor", "bare", "{base_url}", str(rows), str(slots)), sizes, scratch)
    until_full_s = counts["full_s"] - counts["first_s"] if counts["full_s"] else float("nan")
    return [
        Figure("most in flight, as the server saw it", counts["most"]),
        Figure("until full", until_full_s, "s"),
        Figure("rows a second once full", share * slots / latency_s, "/s"),
        Figure(f"over what {slots:,} slots of {latency_s:g} s can do", share, at_least=0.95),
        Figure("the same of the bare aiohttp loop", bare_share),
        Figure("CPU a row", 1e6 * used.cpu_s / rows, "µs"),
        Figure("CPU over wall, from start to Parquet", used.cpu_s / used.wall_s),
        Figure("peak memory", used.peak_bytes / 2**20, "MiB"),
    ]


def _full(command: list[str], sizes: Sizes, scratch: Path) -> tuple[Used, dict[str, Any], float]:
    """Return what a command used, what its server counted, and the share of its slots' time used once it was full."""
    latency_s, full = sizes.latency_ms / 1000, round(FULL_SHARE * sizes.in_flight)
    with Endpoint(scratch, latency_s=latency_s, full=full) as endpoint:
        used = use([part.format(base_url=endpoint.base_url) for part in command], scratch)
        endpoint.first_s()
        counts = endpoint.counts()
    turns = counts["turns"][:-1]  # the last is cut short: the rows are used up
    return used, counts, statistics.fmean(turns) / sizes.in_flight if turns else 0.0
