"""The cost of a streamed token: many streams at the speed of a large model, next to a floor that only counts bytes.

Both receive the same streams, one after the other in one run. What a run does besides, such as its start, is taken out
of the ratio by a run of few tokens.
"""

import json
from pathlib import Path

from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import Used, program, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

ROWS_PER_STREAM = 8
"""So many that the run finds its limit, and all streams are open at once for a while."""


OVER_FLOOR = "a token over the floor: CPU"
"""A difference of two whole processes: with few tokens it is less than their noise, and may be negative."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return CPU per token, and the share of a core that all streams together need."""
    rows = sizes.streams * ROWS_PER_STREAM
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, rows)
    with Endpoint(scratch, tokens=sizes.tokens, per_s=sizes.tokens_per_s) as endpoint:
        floor = json.loads(use(floor_command(endpoint.base_url, rows, sizes.streams), scratch).stdout)
    used, most = _run(sizes, scratch, prompts, sizes.tokens)
    start, _ = _run(sizes, scratch, prompts, 1)
    tokens = rows * sizes.tokens
    token_s, token_floor_s = used.cpu_s / tokens, floor["cpu_s"] / tokens
    named = f"a core's share for {sizes.streams} streams of {sizes.tokens_per_s} tokens/s"
    return [
        Figure("most streams at once, as the server saw it", most),
        Figure("bare uvloop protocol: CPU a token", 1e6 * token_floor_s, "µs"),
        Figure("CPU a token, start and Parquet included", 1e6 * token_s, "µs"),
        Figure("the same of the answers without their tokens", 1e6 * start.cpu_s / tokens, "µs"),
        Figure(OVER_FLOOR, (token_s - start.cpu_s / tokens) / token_floor_s, at_most=1.5),
        Figure(named, token_s * sizes.streams * sizes.tokens_per_s, at_most=1.0),
        Figure("CPU over wall", used.cpu_s / used.wall_s),
        Figure("peak memory", used.peak_bytes / 2**20, "MiB", at_most=200),
    ]


def floor_command(base_url: str, rows: int, in_flight: int) -> list[str]:
    """Return the command that receives streams and counts bytes."""
    return program("stream_floor", base_url, str(rows), str(in_flight))


def _run(sizes: Sizes, scratch: Path, prompts: Path, tokens: int) -> tuple[Used, float]:
    """Run the rows with answers of this length; return the use, and the most streams at once."""
    with Endpoint(scratch, tokens=tokens, per_s=sizes.tokens_per_s) as endpoint:
        where = scratch / f"run-{tokens}"
        used = use(run_command(prompts, where, endpoint.base_url, "--stream", in_flight=sizes.streams), scratch)
        endpoint.first_s()
        return used, endpoint.counts()["most"]
