"""The cost of many rows: memory compared with a run of few, resuming, and exporting the results.

All of them use the same run directory, because filling it takes longest; only answers with a schema have their own.
Each endpoint has another port, so `--yes` keeps the answers of the one before.
"""

import json
import time
from pathlib import Path

from benchmarks.answers import ANSWER, SCHEMA, TYPED_ANSWER
from benchmarks.endpoint import SILENT, Endpoint, fast_endpoint
from benchmarks.figures import Figure
from benchmarks.first_request import Beginning, wait_for_first_request
from benchmarks.inputs import write_rows
from benchmarks.process import Used, batchrun, program, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes

LEFT = 1_000
"""Rows that the run of many does not send, so that there are some to resume with."""

REFUSED = 1_000
"""About how many rows the endpoint refuses: they are spread over the run when failed rows are sent again."""


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the figures of all three."""
    prompts, directory = scratch / "prompts.jsonl", scratch / "many"
    write_rows(prompts, sizes.many + LEFT)
    figures = _memory(sizes, scratch, prompts, directory)
    figures += _export(sizes, scratch, prompts, directory)  # before a resume changes the checkpoint
    figures += _typed_export(sizes, scratch, prompts)
    figures += _resume(sizes, scratch, prompts, directory)
    return figures + _retry_failed(scratch, prompts, directory)


def _memory(sizes: Sizes, scratch: Path, prompts: Path, directory: Path) -> list[Figure]:
    with fast_endpoint(scratch, refuse_every=max(5, sizes.many // REFUSED)) as base_url:
        few, many = (
            use(run_command(prompts, where, base_url, "--limit", str(rows)), scratch, expected=(0, 1))
            for where, rows in ((scratch / "few", sizes.few), (directory, sizes.many))
        )
    return [
        Figure(f"peak memory of a run of {sizes.few:,} rows", few.peak_bytes / 2**20, "MiB"),
        Figure(f"peak memory of a run of {sizes.many:,} rows", many.peak_bytes / 2**20, "MiB", at_most=200),
        Figure("many over few", many.peak_bytes / few.peak_bytes, at_most=1.2),
        Figure(f"CPU a row of {sizes.many:,} rows", 1e6 * many.cpu_s / sizes.many, "µs"),
    ]


def _export(sizes: Sizes, scratch: Path, prompts: Path, directory: Path) -> list[Figure]:
    """Export, alternating with a plain pyarrow conversion of the same rows and answers."""
    ours, theirs = _exports(sizes, scratch, prompts, directory, sizes.many, ANSWER)
    our_cpu_s, their_cpu_s = (min(used.cpu_s for used in each) for each in (ours, theirs))
    our_wall_s, their_wall_s = (min(used.wall_s for used in each) for each in (ours, theirs))
    return [
        Figure("export: CPU", our_cpu_s, "s"),
        Figure("export: peak memory", max(used.peak_bytes for used in ours) / 2**20, "MiB", at_most=200),
        Figure("plain pyarrow conversion: CPU", their_cpu_s, "s"),
        Figure("export over the plain conversion: CPU", our_cpu_s / their_cpu_s, at_most=1.5),
        Figure("export over the plain conversion: wall", our_wall_s / their_wall_s, at_most=2.5),
    ]


def _typed_export(sizes: Sizes, scratch: Path, prompts: Path) -> list[Figure]:
    """Export answers with eight typed columns; the plain conversion does not look into their texts."""
    directory, schema = scratch / "typed", scratch / "schema.json"
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    with fast_endpoint(scratch, is_typed=True) as base_url:
        flags = ["--limit", str(sizes.typed), "--schema", str(schema)]
        use(run_command(prompts, directory, base_url, *flags), scratch)
    ours, theirs = _exports(sizes, scratch, prompts, directory, sizes.typed, TYPED_ANSWER)
    our_cpu_s, their_cpu_s = (min(used.cpu_s for used in each) for each in (ours, theirs))
    return [
        Figure("export of eight typed columns: CPU", our_cpu_s, "s"),
        Figure("its peak memory", max(used.peak_bytes for used in ours) / 2**20, "MiB", at_most=200),
        Figure("over the plain conversion without schema: CPU", our_cpu_s / their_cpu_s, at_most=2.5),
    ]


def _exports(
    sizes: Sizes, scratch: Path, prompts: Path, directory: Path, rows: int, answer: bytes
) -> tuple[list[Used], list[Used]]:
    """Return what exports of a run used, and what plain conversions of the same rows did."""
    plain = scratch / "plain.jsonl"
    _join(prompts, plain, rows, answer)
    ours, theirs = [], []
    for _ in range(sizes.rounds):
        ours.append(use(batchrun("export", str(directory)), scratch))
        theirs.append(use(program("conversion", str(plain), str(scratch / "plain.parquet")), scratch))
    plain.unlink()
    return ours, theirs


def _join(prompts: Path, plain: Path, rows: int, answer: bytes) -> None:
    """Write input rows and raw answers together: the data of the checkpoint as JSON Lines."""
    with prompts.open("rb") as lines, plain.open("wb") as file:
        for number, line in zip(range(rows), lines, strict=False):
            file.write(b'{"row": %d, "input": %b, "answer": %b}\n' % (number, line.rstrip(), answer))


def _resume(sizes: Sizes, scratch: Path, prompts: Path, directory: Path) -> list[Figure]:
    """Run the whole file until the first request: once after `--limit` was raised, then as after a crash."""
    raised, *crashed = [_begin(prompts, directory, scratch) for _ in range(1 + sizes.rounds)]
    figures = [
        Figure("resume: to the first request, --limit raised", raised.wall_s, "s", at_most=3),
        Figure("resume: to the first request, after a kill", min(each.wall_s for each in crashed), "s", at_most=3),
        Figure("resume: CPU until then", min(each.cpu_s for each in crashed), "s"),
    ]
    if raised.peak_bytes:
        peak_bytes = max(each.peak_bytes for each in [raised, *crashed])
        figures.append(Figure("resume: peak memory until then", peak_bytes / 2**20, "MiB", at_most=150))
    return figures


def _begin(prompts: Path, directory: Path, scratch: Path) -> Beginning:
    with Endpoint(scratch, latency_s=SILENT) as endpoint:
        return wait_for_first_request(run_command(prompts, directory, endpoint.base_url, "--yes"), endpoint, scratch)


def _retry_failed(scratch: Path, prompts: Path, directory: Path) -> list[Figure]:
    """Run the whole file to its end, with unsettled rows spread over it; requests sent twice would show."""
    is_open = json.loads((directory / "run.json").read_bytes())["failed"] + LEFT
    with Endpoint(scratch) as endpoint:
        began_s = time.monotonic()
        use(run_command(prompts, directory, endpoint.base_url, "--retry-failed", "--yes"), scratch)
        endpoint.first_s()
        counts = endpoint.counts()
    return [
        Figure("resume, --retry-failed: to the last request", counts["last_s"] - began_s, "s"),
        Figure("its requests over its open rows", counts["received"] / is_open, at_most=1),
    ]
