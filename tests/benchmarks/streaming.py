"""The cost of a streamed token: many streams at the speed of a large model."""

from pathlib import Path

from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

ROWS_PER_STREAM = 4


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return CPU per token, and the share of a core that all streams together need."""
    rows = sizes.streams * ROWS_PER_STREAM
    prompts = scratch / "prompts.jsonl"
    write_rows(prompts, rows)
    with Endpoint(scratch, tokens=sizes.tokens, per_s=sizes.tokens_per_s) as endpoint:
        command = run_command(prompts, scratch / "run", endpoint.base_url, "--stream", in_flight=sizes.streams)
        used = use(command, scratch)
        endpoint.first_s()
        most = endpoint.counts()["most"]
    token_s = used.cpu_s / (rows * sizes.tokens)
    named = f"a core's share for {sizes.streams} streams of {sizes.tokens_per_s} tokens/s"
    return [
        Figure("most streams at once, as the server saw it", most),
        Figure("CPU a token, start and Parquet included", 1e6 * token_s, "µs"),
        Figure(named, token_s * sizes.streams * sizes.tokens_per_s, at_most=0.5),
        Figure("CPU over wall", used.cpu_s / used.wall_s),
        Figure("peak memory", used.peak_bytes / 2**20, "MiB"),
    ]
