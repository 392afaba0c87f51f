"""What people pass as data → the paths of a job's input. Paths stay; everything else is kept in the run directory."""

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchrun.api.tables import PROMPT, reader_of
from batchrun.errors import InputError
from batchrun.prompts.input.frame import keep_batches, keep_rows
from batchrun.prompts.input.types import loses_times

_PLACES = ("run", "path")
"""Settings of `[input]` that say where the rows are."""

_JSON_TYPES = (str, int, float, bool, type(None))


def paths_of(data: Any, directory: Path) -> tuple[str, ...]:
    """Return the paths of the files that hold the data.

    Args:
        data: a path or a list of `Path`; a table of pandas, Polars, Arrow, DuckDB or Hugging Face; or an iterable of
            dicts or of strings, each of which is a prompt.
        directory: of the run. Data that is not in a file is written to it.

    Raises:
        InputError: the data is of another kind, or cannot be written as a file.
        RunDirectoryError: the directory cannot be written.
    """
    if isinstance(data, str | Path):
        return (_path(data),)
    if isinstance(data, Sequence) and data and all(isinstance(each, Path) for each in data):
        return tuple(map(str, data))
    reader = reader_of(data)
    if reader is not None:
        return (str(keep_batches(reader, directory)),)
    if isinstance(data, Mapping | bytes | bytearray) or not isinstance(data, Iterable):
        raise InputError(f"the data is {_kind(data)}; {_what_is_needed(data)}")
    return (str(_kept(data, directory)),)


def missing_data(section: Any) -> str:
    """Return the message for a call without data.

    Args:
        section: `[input]` of the call, as an object or a dict.
    """
    stated = section if isinstance(section, Mapping) else {name: getattr(section, name, None) for name in _PLACES}
    given = next((str(each) for name in _PLACES if isinstance(each := stated.get(name), str | Path)), None)
    shown = "frame" if given is None else f'"{given}"'
    return f"the data is missing; pass it as the first argument: batchrun.answer({shown}, …)"


def _path(data: str | Path) -> str:
    if isinstance(data, str) and (not data.strip() or any(letter in data for letter in "\n{}")):
        raise InputError("the data is a string that is not a path; for a single prompt pass a list: [prompt]")
    if isinstance(data, str) and _is_sentence(data):
        raise InputError(f'the data "{data:.80}" is not a path; for a single prompt pass a list: [prompt]')
    return str(data)


def _is_sentence(text: str) -> bool:
    """Return whether a string reads as a prompt: it has spaces, and neither an ending, a folder nor a file to match."""
    return " " in text.strip() and not re.search(r"[/\\]|\.\w{1,8}$", text) and not glob.glob(text)  # noqa: PTH207  # Path.glob takes no absolute pattern


def _kept(data: Iterable[Any], directory: Path) -> Path:
    """Keep an iterable of dicts or strings. Of an iterator, the first row shows whether JSON can hold its values."""
    rows = iter(data)
    first = next(rows, None)
    if first is None:
        raise InputError("the data has no rows; pass at least one dict or string")
    everything = chain([first], rows)
    if isinstance(first, str):
        return keep_rows(_prompts(everything, first), directory)
    if not all(map(_is_json_row, data if isinstance(data, Sequence) else [first])):
        return keep_batches(_typed(everything), directory)
    return keep_rows(everything, directory)


def _prompts(texts: Iterator[Any], first: str) -> Iterator[dict[str, str]]:
    if Path(first).suffix and "\n" not in first and len(first) < 256 and Path(first).is_file():
        raise InputError(
            f'"{first}" is a file, and a list of strings is a list of prompts; for files pass Path objects'
        )
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"row {number} is {_kind(text)}; the first row is a string, so each must be one")
        yield {PROMPT: str(text)}


def _is_json_row(row: Any) -> bool:
    """Return whether a row can be kept as JSON; what is not a row is refused later."""
    return not isinstance(row, Mapping) or all(map(_is_json, row.values()))


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return all(map(_is_json, value)) if isinstance(value, list | tuple) else isinstance(value, _JSON_TYPES)


def _typed(rows: Iterator[Any]) -> pa.RecordBatchReader:
    """Return dicts with bytes, dates and other values that JSON lacks as Arrow. All of them are in memory."""
    everything = list(rows)
    names: dict[str, None] = {}
    for number, row in enumerate(everything):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} is {_kind(row)}; the first row is a dict, so each must be one")
        names.update(dict.fromkeys(row))
    columns = {str(name): _column([row.get(name) for row in everything], name) for name in names}
    return pa.table(columns).to_reader()


def _column(values: list[Any], name: Any) -> pa.Array:
    try:
        column = pa.array(values, from_pandas=True)  # NaN is null, as it is in JSON
        if loses_times(column.type, values):
            raise ValueError("some values are dates, and some have a time")
        return column
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as problem:
        raise InputError(f'the column "{name}" cannot be kept: {problem}; convert its values to one type') from problem


def _kind(data: Any) -> str:
    return f"of type {type(data).__name__}"


def _what_is_needed(data: Any) -> str:
    if isinstance(data, Mapping) and type(data).__module__.startswith("datasets"):
        return f'pass one of its splits: data["{next(iter(data), "train")}"]'
    if isinstance(data, Mapping):
        return "pass a list of dicts, one for each row, or a data frame"
    return "pass a path, a data frame, or a list of dicts or strings"
