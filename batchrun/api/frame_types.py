"""The types that a frame had before it was kept: tables of answers get them back, with pandas's index."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.prompts.input.frame import is_frame
from batchrun.results.columns import COLUMNS, SCORE, input_names
from batchrun.results.run_directory import RESULTS, input_paths, stored_job
from batchrun.results.writer import read_scorer

_PANDAS = b"pandas"
_HUGGING_FACE = b"huggingface"


def restored(table: pa.Table, directory: Path) -> pa.Table:
    """Return a table of results with the types that the columns of the frame had, and the frame's own metadata."""
    frame = _frame(directory)
    if frame is None:
        return table
    fields = {name: field.with_name(name) for field, name in zip(frame.schema, frame.names, strict=True)}
    for index, field in enumerate(table.schema):
        before = fields.get(field.name)
        if before is not None and not before.equals(field, check_metadata=True):
            with suppress(pa.ArrowException):  # then it stays as the results have it
                table = table.set_column(index, before, table.column(index).cast(before.type))
    metadata = {key: value for key, value in (frame.schema.metadata or {}).items() if key in (_PANDAS, _HUGGING_FACE)}
    if _PANDAS in metadata:
        names = {field.name: name for field, name in zip(frame.schema, frame.names, strict=True)}
        metadata[_PANDAS] = _pandas_metadata(metadata[_PANDAS], names, table.schema.names)
    return table.replace_schema_metadata(metadata or None)


def index_columns(directory: Path, columns: Sequence[str]) -> list[str]:
    """Return the columns that hold the index of a pandas frame, without those that are asked for anyway."""
    frame = _frame(directory)
    if frame is None:
        return []
    names = dict(zip(frame.schema.names, frame.names, strict=True))
    return [names[name] for name in _index(frame.schema) if name in names and names[name] not in columns]


def numbers_rows(directory: Path) -> bool:
    """Return whether the run's data was a pandas frame whose index numbers its rows."""
    frame = _frame(directory)
    return frame is not None and _PANDAS in (frame.schema.metadata or {}) and not _index(frame.schema)


def with_index(keep: Sequence[str] | None, path: str) -> tuple[str, ...] | None:
    """Return the columns that a job keeps, with those that hold the index of the frame in a file."""
    if keep is None or not _is_table(path):
        return None if keep is None else tuple(keep)
    return tuple(dict.fromkeys([*keep, *_index(pq.read_schema(path))]))


def _index(frame: pa.Schema) -> list[str]:
    """Return the columns of a pandas frame that hold its index; an index that numbers the rows has none."""
    stored = (frame.metadata or {}).get(_PANDAS)
    return [] if stored is None else [each for each in orjson.loads(stored)["index_columns"] if isinstance(each, str)]


def for_datasets(table: pa.Table) -> pa.Table:
    """Return a table whose metadata name the features of all its columns, as far as the frame's data set had them."""
    stored = (table.schema.metadata or {}).get(_HUGGING_FACE)
    if stored is None:
        return table.replace_schema_metadata(None)
    from datasets import Features

    features = Features.from_arrow_schema(table.schema.remove_metadata())
    known = Features.from_arrow_schema(pa.schema(_known(table.schema, stored), {_HUGGING_FACE: stored}))
    features.update({name: known[name] for name in features if name in known})
    return table.replace_schema_metadata({_HUGGING_FACE: orjson.dumps({"info": {"features": features.to_dict()}})})


def _known(schema: pa.Schema, stored: bytes) -> Iterator[pa.Field]:
    names = orjson.loads(stored).get("info", {}).get("features", {})
    return (field for field in schema if field.name in names)


def _pandas_metadata(stored: bytes, names: Mapping[str, str], present: Sequence[str]) -> bytes:
    """Return pandas's metadata for the columns of a table.

    Args:
        stored: the metadata of the frame.
        names: column of the frame → its name in the results.
        present: the columns of the table.
    """
    metadata: dict[str, Any] = orjson.loads(stored)
    known = {column: name for column, name in names.items() if name in present}
    index = [each for each in metadata["index_columns"] if isinstance(each, str) and each in known]
    described = [
        {**each, "field_name": known[each["field_name"]]} for each in metadata["columns"] if each["field_name"] in known
    ]
    for each in described:
        if each["field_name"] not in (known[name] for name in index):  # the name of an index stays as it was
            each["name"] = each["field_name"]
    return orjson.dumps({**metadata, "columns": described, "index_columns": [known[name] for name in index]})


class _Frame(NamedTuple):
    """The frame that a run has kept."""

    schema: pa.Schema
    """Of the columns that the results keep."""
    names: list[str]
    """Of these in the results."""


def _frame(directory: Path) -> _Frame | None:
    """Return the frame that a run has kept; None of other runs."""
    with suppress(RunDirectoryError, OSError, pa.ArrowException), Checkpoint(directory) as checkpoint:
        job = stored_job(checkpoint)
        paths = input_paths(job, directory, checkpoint)
        if len(paths) == 1 and _is_table(paths[0]):
            schema, keep = pq.read_schema(paths[0]), job.output.keep
            kept = schema if keep is None else pa.schema([schema.field(name) for name in keep], schema.metadata)
            is_scored = read_scorer(directory / RESULTS) is not None
            taken = [column.name for column in (*COLUMNS, *([SCORE] if is_scored else []))]
            return _Frame(kept, input_names(kept.names, taken))
    return None


def _is_table(path: str) -> bool:
    return is_frame(path) and path.endswith(".parquet")
