"""A run as a notebook shows it: one line with its counts and cost, and its first rows as a table."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import pyarrow as pa

from batchrun.report.cells import cells_of, cut, has_bytes
from batchrun.report.texts import counted
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, BEFORE_INPUT, SCORE
from batchrun.results.summary import Summary

MOST_ROWS = 10
"""Rows that are shown."""

_MOST_INPUTS = 4
"""Columns of the input that are shown: the first ones."""

_MOST_CHARS = 200
"""Longest text in a cell."""

_STYLE = "<style scoped>td, th {text-align: left; vertical-align: top; max-width: 40em; white-space: pre-wrap}</style>"


def line(summary: Summary) -> str:
    """Return a run in one line: where, state, rows, failures, cost."""
    rows = f"{summary.completed:,} of {counted(summary.total_rows or summary.rows, 'row')} completed"
    failed = f", {summary.failed:,} failed" if summary.failed else ""
    cost = "simulated" if summary.simulated else summary.cost_text
    return f"{summary.directory}: {summary.state}, {rows}{failed}, {cost}"


def shown_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of the results that tell most, in their order."""
    before, answer = len(BEFORE_INPUT), names.index(BEFORE_ANSWER[0].name)
    typed = names[answer + len(BEFORE_ANSWER) : names.index(AFTER_ANSWER[0].name)]
    inputs = [name for name in names[before:answer] if not name.startswith("__index_level_")]
    scores = [SCORE.name] if SCORE.name in names else []
    shown = {"row", *inputs[:_MOST_INPUTS], "status", *(typed or ["response"]), *scores, "error"}
    return [name for name in names if name in shown]


def table(summary: Summary, rows: pa.Table, *, only: str | None) -> str:
    """Return HTML for the first rows of a run, with a line about the run above them.

    Args:
        summary: of the run.
        rows: its first rows.
        only: the status that all of them have; None for all rows.
    """
    if rows.column("error").null_count == rows.num_rows:
        rows = rows.drop_columns(["error"])
    head = "".join(f"<th>{escape(name)}</th>" for name in rows.column_names)
    columns = [_cells(column) for column in rows.columns]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    all_rows = {None: summary.rows, "completed": summary.completed, "failed": summary.failed}[only]
    shown = f"the first {rows.num_rows:,} of {all_rows:,}" if rows.num_rows < all_rows else f"all {all_rows:,}"
    which = "" if only is None else f"{only} "
    message = f"<div>{escape(summary.message)}</div>" if summary.message else ""
    return (
        f"<div>{_STYLE}<div>{escape(line(summary))}</div>{message}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<div>{shown} {which}rows</div></div>"
    )


def _cells(column: pa.ChunkedArray) -> Iterator[str]:
    values = ["(bytes)"] * len(column) if has_bytes(column.type) else cells_of(column)
    return (f"<td>{escape(_text(value))}</td>" for value in values)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return cut(value if isinstance(value, str) else str(value), _MOST_CHARS)
