"""The cost of a streamed token: many streams at the speed of a large model, next to a floor that only counts bytes.

Both receive the same streams, in turns, and what counts is the median of the ratios of all rounds: the CPU of one and
the same process differs by half from minute to minute. Most of it is the system's, for a read of a socket and a wait
for more. Who is slow, or shares a core, finds more at each wake-up, so waits and reads are shown too: only rounds with
the same numbers are alike. `instructions` counts what is not the system's, and other work does not move it.
What a run does besides, such as its start, is taken out of the ratio by a run of few tokens.
"""

import json
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import Used, program, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

ROWS_PER_STREAM = 8
"""So many that the run finds its limit, and all streams are open at once for a while."""


OVER_FLOOR, LEAST, MOST = "a token over the floor: CPU", "the least of all rounds", "the most of all rounds"
WAITS, READS, BARE_READS = "waits a token", "reads a token", "bare uvloop protocol: reads a token"
NOT_POSITIVE = (OVER_FLOOR, LEAST, MOST, WAITS, READS, BARE_READS)
"""Differences of two whole processes: with few tokens they are less than the noise of these, and may be negative. Reads
are 0 where the system does not count them."""


class Round(NamedTuple):
    """What was measured at one time."""

    bare: Used
    bare_s: float
    """CPU of the floor, without its start."""
    used: Used
    start: Used
    """Of a run whose answers have one token."""
    most: float
    """Streams at once, as the server saw it."""

    @property
    def over_floor(self) -> float:
        """The ratio of the CPU of a token."""
        return (self.used.cpu_s - self.start.cpu_s) / self.bare_s


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return CPU per token, and the share of a core that all streams together need."""
    rows = sizes.streams * ROWS_PER_STREAM
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, rows)
    rounds = [_round(sizes, scratch / f"round-{number}", prompts, rows) for number in range(sizes.rounds)]
    tokens = rows * sizes.tokens
    token_s = median(each.used.cpu_s for each in rounds) / tokens
    named = f"a core's share for {sizes.streams} streams of {sizes.tokens_per_s} tokens/s"
    return [
        Figure("most streams at once, as the server saw it", max(each.most for each in rounds)),
        Figure("bare uvloop protocol: CPU a token", 1e6 * median(each.bare_s for each in rounds) / tokens, "µs"),
        Figure("bare uvloop protocol: waits a token", median(each.bare.waits for each in rounds) / tokens),
        Figure(BARE_READS, median(each.bare.reads for each in rounds) / tokens),
        Figure("CPU a token, start and Parquet included", 1e6 * token_s, "µs"),
        Figure(WAITS, median(each.used.waits - each.start.waits for each in rounds) / tokens),
        Figure(READS, median(each.used.reads - each.start.reads for each in rounds) / tokens),
        Figure("the answers without their tokens", 1e6 * median(each.start.cpu_s for each in rounds) / tokens, "µs"),
        Figure(OVER_FLOOR, median(each.over_floor for each in rounds), at_most=1.5),
        Figure(LEAST, min(each.over_floor for each in rounds)),
        Figure(MOST, max(each.over_floor for each in rounds)),
        Figure(named, token_s * sizes.streams * sizes.tokens_per_s, at_most=1.0),
        Figure("CPU over wall", median(each.used.cpu_s / each.used.wall_s for each in rounds)),
        Figure("peak memory", max(each.used.peak_bytes for each in rounds) / 2**20, "MiB", at_most=200),
    ]


def _round(sizes: Sizes, scratch: Path, prompts: Path, rows: int) -> Round:
    """Measure the floor and the run, one after the other."""
    scratch.mkdir()
    with Endpoint(scratch, tokens=sizes.tokens, per_s=sizes.tokens_per_s) as endpoint:
        bare = use(floor_command(endpoint.base_url, rows, sizes.streams), scratch)
    used, most = _run(sizes, scratch, prompts, sizes.tokens)
    start, _ = _run(sizes, scratch, prompts, 1)
    bare_s: float = json.loads(bare.stdout)["cpu_s"]
    return Round(bare, bare_s, used, start, most)


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
