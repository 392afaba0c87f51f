"""Many requests in flight: rows per second from a server with a latency of one second, once all slots are used."""

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
"""Share of slots in use from which the pool counts as full."""

RAMP_TURNS = 8
"""Additional rows per slot, for the time in which the run finds the limit."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the rate once full, relative to the possible rate, and its cost."""
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
    """Return the use of a command, the counts of its server, and the share of the slots' time used once full."""
    latency_s, full = sizes.latency_ms / 1000, round(FULL_SHARE * sizes.in_flight)
    with Endpoint(scratch, latency_s=latency_s, full=full) as endpoint:
        used = use([part.format(base_url=endpoint.base_url) for part in command], scratch)
        endpoint.first_s()
        counts = endpoint.counts()
    turns = counts["turns"][:-1]  # the last turn is incomplete: there are no more rows
    return used, counts, statistics.fmean(turns) / sizes.in_flight if turns else 0.0
