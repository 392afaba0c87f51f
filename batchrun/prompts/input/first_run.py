"""A run as the input of another run: the rows of its results, each with the columns of the first run under `first`.

A row keeps its place in results.parquet as its number. A template sees the input's columns of the first run by their
names, and the columns that the first run added as `first.response`, `first.model` and so on.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.input.arrow import python_rows
from batchrun.prompts.input.files import InputFile
from batchrun.prompts.input.folders import FIRST, SUMMARY_FILE
from batchrun.prompts.input.parquet_file import (
    groups_from,
    open_parquet,
    parquet_batches,
    row_count,
    stated_rows,
)
from batchrun.prompts.input.parts import Part, Reading, Rows, wanted
from batchrun.records import Row

_LABEL = "custom_id"
_OUTCOME = "model"
"""The last of the columns that a run puts before those of its input, and the first that it puts after them."""

_NEEDED = frozenset({_LABEL, _OUTCOME, "sample", "status"})
"""Columns that every row is read with."""


class FirstColumns(dict[str, Any]):
    """What the first run says of a row: a column of the name `items` or `values` hides the method, for templates."""

    def __getattribute__(self, name: str) -> Any:
        return self[name] if name in self else super().__getattribute__(name)


def renamed(names: Sequence[str]) -> dict[str, str]:
    """Return the columns of a run's results with their names as columns of an input."""
    after = names.index(_OUTCOME) if _OUTCOME in names else len(names)
    before = names.index(_LABEL) + 1 if _LABEL in names[:after] else 0
    return {name: _of_input(name) if before <= place < after else f"{FIRST}.{name}" for place, name in enumerate(names)}


def _of_input(name: str) -> str:
    if name == FIRST:
        return f"input_{FIRST}"
    return f"{FIRST}.{name}" if name.startswith(f"{FIRST}.") else name


def column_names(file: InputFile, schema: pa.Schema) -> dict[str, str]:
    """Return the columns of a file of Parquet, each with its name as a column of the input."""
    return renamed(schema.names) if file.format == "run" else dict(zip(schema.names, schema.names, strict=True))


def known_names(names: Iterable[str]) -> list[str]:
    """Return the names that a job can use for the columns of a run: those of its input, those of the run, `first`."""
    stated = sorted(names, key=lambda name: name.startswith(f"{FIRST}."))
    before = [f"{FIRST}.{FIRST}"] if any(name.startswith(f"{FIRST}.{FIRST}.") for name in stated) else []
    return [*stated, *before, FIRST]


def run_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows of a run's results, failed ones included; `custom_id` is unique: `id/model/sample`."""
    parquet = open_parquet(raw, reading.file)
    total = row_count(parquet)
    names = renamed(parquet.schema_arrow.names)
    groups, done = groups_from(parquet, reading.wanted - reading.first)
    for batch in parquet_batches(parquet, reading.batch_rows, _read(names, reading.columns), groups):
        first, done = done, done + batch.num_rows
        if reading.first + done <= reading.wanted:
            continue
        as_bytes = [name for name, new in names.items() if new in reading.as_bytes]
        rows = [
            _row(reading, names, row, columns, problem)
            for row, (columns, problem) in enumerate(python_rows(batch, as_bytes), first)
        ]
        yield Part(wanted(rows, reading), reading.first + done, reading.file.size_bytes * done // max(1, total))
    if not groups:
        yield Part([], reading.first + total, reading.file.size_bytes)


def _read(names: Mapping[str, str], columns: Collection[str] | None) -> Collection[str] | None:
    """Return the columns of the results that are needed for these columns of the input."""
    if columns is None:
        return None
    is_first = FIRST in columns
    return {
        name
        for name, new in names.items()
        if name in _NEEDED or new in columns or (is_first and new.startswith(f"{FIRST}."))
    }


def _row(
    reading: Reading, names: Mapping[str, str], row: int, columns: dict[str, Any] | None, problem: str | None
) -> Row:
    source = f"{reading.file.name}: row {row}"
    if columns is None:
        return Row(reading.first + row, None, source, problem)
    own: dict[str, Any] = {}
    mine = FirstColumns()
    for name, value in columns.items():
        new = names[name]
        if not new.startswith(f"{FIRST}."):
            own[new] = value
        elif name.startswith(f"{FIRST}."):
            _put(mine, name.split("."), value)
        else:
            mine[name] = value
    own[FIRST] = mine
    own[_LABEL] = f"{mine[_LABEL]}/{mine[_OUTCOME]}/{mine['sample']}"
    return Row(reading.first + row, own, source, problem, has_filled_nulls=True)


def _put(mine: FirstColumns, path: list[str], value: Any) -> None:
    """Put a column of a run before the first one where a template finds it: `first.first.response`."""
    while len(path) > 1 and path[0] == FIRST:
        mine = mine.setdefault(FIRST, FirstColumns())
        path = path[1:]
    mine[".".join(path)] = value


def is_completed(row: Row) -> bool:
    """Return whether a row is not of a run, or is a completed row of one."""
    first = None if row.columns is None else row.columns.get(FIRST)
    return not isinstance(first, FirstColumns) or first["status"] == "completed"


def completed_rows(files: Sequence[InputFile]) -> int | None:
    """Return how many completed rows runs have; None where not all files are runs, or one cannot be read."""
    if any(file.format != "run" for file in files):
        return None
    with suppress(OSError, pa.ArrowException):
        return sum(statuses.count("completed") for file in files for statuses in _statuses(file))
    return None  # reported when the file is read


def _statuses(file: InputFile) -> Iterator[list[str]]:
    for batch in pq.ParquetFile(file.path).iter_batches(columns=["status"]):
        yield batch.column(0).to_pylist()


def run_notices(files: Iterable[InputFile], *, include_failed: bool) -> list[str]:
    """Return what users should know about the runs among the files: unfinished ones, rows that are left out."""
    return [
        notice
        for file in files
        if file.format == "run"
        for notice in (*_of_summary(file), *([] if include_failed else _left_out(file)))
    ]


def _of_summary(file: InputFile) -> Iterator[str]:
    """Yield notices about a run that has not settled all its rows, or was simulated."""
    summary: Any = {}
    with suppress(OSError, ValueError):
        summary = json.loads(Path(file.path).with_name(SUMMARY_FILE).read_text(encoding="utf-8"))
    if not isinstance(summary, dict) or summary.get("state") != "completed":
        then = "the same command again adds the rows that it completes later"
        yield f"{file.folder}: has not completed; the rows that its results have now are used, and {then}"
    if isinstance(summary, dict) and summary.get("simulated"):
        yield f"{file.folder}: its answers were made up by the simulator"


def _left_out(file: InputFile) -> Iterator[str]:
    completed, rows = completed_rows([file]), stated_rows([file])
    if completed is None or rows is None or completed == rows:
        return
    failed = rows - completed
    count = "1 failed row is" if failed == 1 else f"{failed:,} failed rows are"
    yield f"{file.folder}: {count} left out; --include-failed uses them"


def check_run(files: Sequence[InputFile], job: Job) -> None:
    """Check that `input.run` is a run, and that a run is not its own input.

    Raises:
        InputError: with the cure.
    """
    if job.input.run is not None and any(file.format != "run" for file in files):
        cure = "name the directory of a run, or name files in input.path"
        raise InputError(f"{job.input.run}: is not a run directory, as input.run must be; {cure}")
    directory = job.run_directory
    for file in files:
        if file.format == "run" and directory.exists() and directory.samefile(Path(file.path).parent):
            raise InputError(f"{file.folder}: is the input and the run directory; name another run directory: -o DIR")
