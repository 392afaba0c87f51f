"""Tables of other libraries → streams of Arrow batches, with the column at fault where Arrow has no such values."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.prompts.input.types import loses_times

PROMPT = "prompt"
"""Column of data that has no names; without a template it is what is asked."""

_PROBLEMS = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""What the libraries raise for values that they cannot convert."""


def reader_of(data: Any) -> pa.RecordBatchReader | None:
    """Return a table of another library as a stream of Arrow batches; None for other data.

    Raises:
        InputError: it has values that Arrow lacks; the message names the column.
    """
    library = type(data).__module__.partition(".")[0]
    if library == "pandas":
        return _pandas_reader(data)
    if library == "polars":
        return _polars_reader(data)
    try:
        return _arrow_reader(data, library)
    except _PROBLEMS as problem:
        raise InputError(_unreadable(library, problem)) from problem


def _arrow_reader(data: Any, library: str) -> pa.RecordBatchReader | None:
    if library == "datasets" and not isinstance(data, Mapping):  # a DatasetDict is not a table
        return _dataset_reader(data)
    if isinstance(data, pa.Array | pa.ChunkedArray):
        data = pa.table({PROMPT: data})
    if library == "pyarrow" and hasattr(data, "scanner"):
        return data.scanner().to_reader()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    return pa.RecordBatchReader.from_batches(data.schema, [data]) if isinstance(data, pa.RecordBatch) else None


def _pandas_reader(data: Any) -> pa.RecordBatchReader:
    """Return a frame, a series or an index as a stream, with its index unless that only numbers the rows."""
    frame = data if hasattr(data, "columns") else data.to_frame(PROMPT if data.name is None else data.name)
    index = frame.index
    numbers_rows = type(index).__name__ == "RangeIndex" and (index.start, index.step, index.name) == (0, 1, None)
    try:
        return _checked(pa.Table.from_pandas(frame, preserve_index=None if numbers_rows else True), frame).to_reader()
    except _PROBLEMS as problem:
        names = frame.columns if frame.columns.is_unique else ()
        found = _column_at_fault(
            names, lambda name: _checked(pa.Table.from_pandas(frame[[name]], preserve_index=False), frame)
        )
        cure = 'frame["{0}"] = frame["{0}"].astype("string")'
        raise InputError(_unreadable("pandas", problem, found, cure)) from problem


def _checked(table: pa.Table, frame: Any) -> pa.Table:
    """Return a table that was made of a frame of pandas; raises `ValueError` where a column has lost something."""
    for name in frame.columns:
        if str(name) in table.column_names and loses_times(table.schema.field(str(name)).type, frame[name]):
            raise ValueError("some values are dates, and some have a time")
    return table


def _polars_reader(data: Any) -> pa.RecordBatchReader:
    if hasattr(data, "to_frame"):  # a series
        data = data.to_frame(data.name or PROMPT)
    frame = data.collect() if hasattr(data, "collect") else data  # a lazy frame
    if opaque := next((name for name, kind in frame.schema.items() if str(kind) == "Object"), None):
        # Arrow would get their addresses
        raise InputError(f'the column "{opaque}" of the polars data holds Python objects; convert them')
    try:
        return pa.RecordBatchReader.from_stream(frame)
    except _PROBLEMS as problem:
        found = _column_at_fault(frame.columns, lambda name: pa.RecordBatchReader.from_stream(frame.select(name)))
        cure = 'frame = frame.with_columns(polars.col("{0}").cast(polars.String))'
        raise InputError(_unreadable("polars", problem, found, cure)) from problem


def _column_at_fault(names: Iterable[Any], convert: Callable[[Any], Any]) -> tuple[Any, Exception] | None:
    """Return the first column that cannot be converted even alone, and why."""
    for name in names:
        try:
            convert(name)
        except _PROBLEMS as problem:
            return name, problem
    return None


def _unreadable(library: str, problem: Exception, found: tuple[Any, Exception] | None = None, cure: str = "") -> str:
    """Return the message about data that Arrow lacks; `cure` has the name of the column as `{0}`."""
    if found is None:
        return f"the {library} data cannot be read as a table: {problem}"
    name, problem = found  # the one of pandas has a second argument that names the column
    reason = str(problem.args[0] if problem.args else problem).rstrip(".")
    return f'the column "{name}" of the {library} data cannot be kept: {reason}; convert it: {cure.format(name)}'


def _dataset_reader(data: Any) -> pa.RecordBatchReader:
    """Return a data set of Hugging Face as a stream."""
    tables = iter(data.with_format("arrow").iter(1000))  # also honours `select` and `shuffle`
    first = next(tables, None)
    if first is None:
        raise InputError("the data set has no rows")
    batches = chain.from_iterable(table.to_batches() for table in chain([first], tables))
    return pa.RecordBatchReader.from_batches(first.schema, batches)
