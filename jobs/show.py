# ruff: noqa: T201 - to print is what it is for
"""Print a few rows of results: `python jobs/show.py RESULTS.parquet [N]`."""

import argparse
import json
import shutil
import sys
import textwrap
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BEFORE_INPUT, AFTER_INPUT = 2, "model"
"""Where the columns of the input stand: after `row` and `custom_id`, before `model`."""


def main(arguments: list[str]) -> None:
    """Print how many rows a file has, and the first N of them."""
    parser = argparse.ArgumentParser(description="Print a few rows of results.")
    parser.add_argument("results", metavar="RESULTS.parquet")
    parser.add_argument("count", metavar="N", type=int, nargs="?", default=3)
    told = parser.parse_args(arguments)
    try:
        with pq.ParquetFile(told.results) as file:
            statuses = file.read(columns=["status"])["status"].value_counts().to_pylist()
            first = next(file.iter_batches(max(told.count, 1)), None)
    except (OSError, pa.ArrowInvalid, KeyError) as problem:
        sys.exit(f"{told.results}: cannot be read as results: {problem}")
    print(f"{told.results}:", ", ".join(f"{each['counts']:,} {each['values']}" for each in statuses) or "no rows")
    for row in first.to_pylist() if first else []:
        print("", *lines(row), sep="\n")


def lines(row: dict[str, Any]) -> list[str]:
    """Return one row for people: what it is, what was asked, what came of it."""
    names = list(row)
    shown = [*names[BEFORE_INPUT : names.index(AFTER_INPUT)], "response", "error"]
    shown = [name for name in shown if row[name] is not None]
    indent = max(map(len, shown), default=0) + 2
    width = max(shutil.get_terminal_size((100, 0)).columns - indent - 2, 20)
    head = f"row {row['row']}, {row['model']}, sample {row['sample']}: {row['status']}"
    return [head, *(f"  {name:<{indent}}{short(row[name], width)}" for name in shown)]


def short(value: Any, width: int) -> str:
    """Return a value on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return textwrap.shorten(text, width, placeholder=" …")


if __name__ == "__main__":
    main(sys.argv[1:])
