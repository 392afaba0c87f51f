"""Runs on a cluster of machines, and what the endpoint's books say of them."""

import re
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
from harness.ray_cluster import MODEL, Run
from on_ray.books import Books
from on_ray.nodes import Nodes

GRACE_S = 0.1
"""Answers of the last moment that a dead worker or driver may take with it."""

_REPORTED = re.compile(r"([\d,]+) rows? had been sent and not recorded")


def write_prompts(folder: Path, rows: int) -> Path:
    """Write different prompts; return the file."""
    path = folder / "prompts.jsonl"
    lines = (orjson.dumps({"id": row, "prompt": f"Say {row} of {folder.name}."}) for row in range(rows))
    path.write_bytes(b"\n".join(lines))
    return path


def started(folder: Path, nodes: Nodes | None, books: Books, rows: int, *more: Any, **variables: str) -> Run:
    """Start or continue a run, on the cluster or, without one, in one process."""
    folder.mkdir(exist_ok=True)
    flags = ("--engine", "ray", "--ray-address", nodes.address) if nodes is not None else ()
    # A cache of its own: a killed run leaves a note there that the next would take for another run's, for 5 s.
    variables = {"XDG_CACHE_HOME": str(folder / f"cache{len([*folder.iterdir()])}")} | variables
    common = ("-m", MODEL, "-o", "out", "--base-url", books.base_url, "--allow-http", "--yes")
    return Run(folder, write_prompts(folder, rows), *common, *flags, *more, **variables)


def check_results(folder: Path, rows: int, name: str = "") -> None:
    """Check that every row is there once, with its own answer."""
    found = pq.read_table(folder / "out" / "results.parquet").to_pylist()
    assert [row["id"] for row in found] == [*range(rows)]
    assert [row["response"] for row in found] == [f"{name}Say {row} of {folder.name}." for row in range(rows)]


def reported(text: str) -> int:
    """Return how many rows a run has reported as sent and not recorded."""
    found = _REPORTED.search(text)
    return 0 if found is None else int(found[1].replace(",", ""))
