"""Files of prompts, and their results."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def write_rows(path: str, *rows: dict[str, Any]) -> str:
    """Write JSON Lines; return the path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_prompts(*prompts: str, path: str = "in.jsonl") -> str:
    """Write a file with a column `prompt`; return its path."""
    return write_rows(path, *({"prompt": prompt} for prompt in prompts))


def results(directory: str = "out") -> list[dict[str, Any]]:
    """Return the rows of results.parquet."""
    return list(pq.read_table(Path(directory) / "results.parquet").to_pylist())


def columns(directory: str = "out") -> list[str]:
    """Return the names of the columns of results.parquet."""
    return list(pq.read_schema(Path(directory) / "results.parquet").names)
