"""The cost of a row of embeddings, of which 64 travel in one request: CPU of the whole process, Parquet included.

Decoding the same vectors alone, from base64 into NumPy arrays, is the comparison.
"""

import json
from pathlib import Path

from benchmarks.endpoint import Endpoint
from benchmarks.figures import Figure
from benchmarks.inputs import write_rows
from benchmarks.process import Used, program, use
from benchmarks.rows import run_command
from benchmarks.sizes import Sizes
from benchmarks.vectors import TEXTS

DIMENSIONS = (384, 1_024)
"""Lengths of vectors: of the smallest models that are much used, and of the usual ones."""

IN_FLIGHT = 16

FLAGS = ("--kind", "embeddings", "--rows-per-request", str(TEXTS))


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return CPU per row for each length of vectors, and what of it is not decoding."""
    rows = max(1, sizes.embeddings // TEXTS) * TEXTS  # full bundles: the server answers each with as many vectors
    write_rows(scratch / "texts.jsonl", rows)
    return [figure for dimensions in DIMENSIONS for figure in _measured(dimensions, rows, sizes.rounds, scratch)]


def _measured(dimensions: int, rows: int, rounds: int, scratch: Path) -> list[Figure]:
    alone_s: list[float] = []
    runs: list[Used] = []
    with Endpoint(scratch, dimensions=dimensions) as endpoint:
        for number in range(rounds):
            decoded = use(program("vectors", str(dimensions), str(rows)), scratch)
            alone_s.append(json.loads(decoded.stdout)["cpu_s"])
            directory = scratch / f"run-{dimensions}-{number}"
            command = run_command(scratch / "texts.jsonl", directory, endpoint.base_url, *FLAGS, in_flight=IN_FLIGHT)
            runs.append(use(command, scratch))
    ours = min(runs, key=lambda used: used.cpu_s)
    ours_us, alone_us = 1e6 * ours.cpu_s / rows, 1e6 * min(alone_s) / rows
    what = f"{dimensions:,} dimensions"
    return [
        Figure(f"{what}: CPU a row, start and Parquet included", ours_us, "µs"),
        Figure(f"{what}: decoding alone", alone_us, "µs"),
        Figure(f"{what}: CPU a row beyond decoding", ours_us - alone_us, "µs", at_most=25),
        Figure(f"{what}: peak memory", ours.peak_bytes / 2**20, "MiB"),
    ]
