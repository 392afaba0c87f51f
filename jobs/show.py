# ruff: noqa: T201 - this script prints
"""Print some columns of results as a table: `python jobs/show.py RESULTS.parquet [COLUMN ...] [-n ROWS]`."""

import argparse
import shutil
import sys
import textwrap
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def main(arguments: list[str]) -> None:
    """Print the first rows of a file of results."""
    parser = argparse.ArgumentParser(description="Print some columns of results as a table.")
    parser.add_argument("results", metavar="RESULTS.parquet")
    parser.add_argument("columns", metavar="COLUMN", nargs="*", default=["custom_id", "status", "response"])
    parser.add_argument("-n", metavar="ROWS", dest="count", type=int, default=10, help="number of rows (default: 10)")
    options = parser.parse_args(arguments)
    try:
        with pq.ParquetFile(options.results) as file:
            if missing := set(options.columns) - set(file.schema_arrow.names):
                sys.exit(f"{options.results}: no column {missing.pop()}; it has {', '.join(file.schema_arrow.names)}")
            first = next(file.iter_batches(max(options.count, 1), columns=options.columns), None)
            total = file.metadata.num_rows
    except (OSError, pa.ArrowInvalid) as problem:
        sys.exit(f"{options.results}: not readable as Parquet: {problem}")
    rows = first.to_pylist() if first else []
    print(*table(options.columns, rows, shutil.get_terminal_size((100, 0)).columns), sep="\n")
    print(f"{len(rows)} of {total:,} rows")


def table(columns: list[str], rows: list[dict[str, Any]], width: int) -> list[str]:
    """Return the lines of a table of about `width` characters: the last column gets what the others leave."""
    lines = [columns, *([text(row[name]) for name in columns] for row in rows)]
    widths = [min(max(map(len, cells)), width // 3) for cells in zip(*lines, strict=True)]
    widths[-1] = max(width - sum(widths[:-1]) - 2 * len(widths[:-1]), 10)
    lines.insert(1, ["-" * len(name) for name in columns])
    return ["  ".join(map(fitted, line, widths)).rstrip() for line in lines]


def text(value: Any) -> str:
    """Return a value as text, nothing for null."""
    return "" if value is None else str(value)


def fitted(cell: str, width: int) -> str:
    """Return a text on one line of exactly `width` characters."""
    return textwrap.shorten(cell, width, placeholder=" …").ljust(width)


if __name__ == "__main__":
    main(sys.argv[1:])
