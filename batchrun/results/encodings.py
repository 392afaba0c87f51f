"""Which rows ask for vectors as base64: by a flag, by themselves, or by the job. The input is read when it counts."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, JobError
from batchrun.job.sections import Job
from batchrun.prompts.input.columns import InputColumns, LateSchema
from batchrun.results.run_directory import StoredInput, stored_input

_NAME = "encoding_format"
_BASE64 = "base64"

_OF_A_ROW = ("body", "params")
"""Columns in which a row states parameters."""

_NOT_STATED, _OTHER, _ASKED = range(3)


class Encodings:
    """Tells which rows ask for base64; of the job alone, where the input cannot be read."""

    def __init__(self, job: Job | None, directory: Path, checkpoint: Checkpoint, notice: Callable[[str], None]) -> None:
        """Prepare; nothing is read.

        Args:
            job: of the run; None where it was lost.
            directory: of the run.
            checkpoint: of the run.
            notice: takes a message where the input cannot be read.
        """
        self._job, self._directory, self._checkpoint, self._notice = job, directory, checkpoint, notice
        self._of_job = job is not None and job.model.parameters().get(_NAME) == _BASE64
        self._of_rows: bytearray | None = None

    def asks_base64(self, row: int) -> bool:
        """Return whether a row asks for vectors as base64."""
        if self._of_rows is None:
            self._of_rows = self._read()
        stated = self._of_rows[row] if row < len(self._of_rows) else _NOT_STATED
        return self._of_job if stated == _NOT_STATED else stated == _ASKED

    def _read(self) -> bytearray:
        """Return what each row states; nothing where that does not count, or cannot be read."""
        if self._job is None or f"model.{_NAME}" in self._job.by_flag:
            return bytearray()
        job = dataclasses.replace(self._job, output=dataclasses.replace(self._job.output, keep=None))
        try:
            inputs = stored_input(job, self._directory, self._checkpoint)
            return _stated(inputs)
        except (InputError, JobError) as problem:
            self._notice(f"vectors are numbers unless the job asks for base64, also of rows that do: {problem}")
            return bytearray()


def _stated(inputs: StoredInput) -> bytearray:
    """Return what each row states, a byte for each: there may be millions of rows."""
    try:
        return bytearray(_stated_in(inputs.columns(is_quick=True)))
    except LateSchema:
        return bytearray(_stated_in(inputs.columns(is_quick=False)))


def _stated_in(columns: InputColumns) -> Iterator[int]:
    for batch in columns.batches():
        found = [_formats(batch.column(name)) for name in _OF_A_ROW if name in batch.schema.names]
        for of_row in zip(*found, strict=True) if found else [()] * batch.num_rows:
            stated = next((each for each in of_row if each is not None), None)
            yield _NOT_STATED if stated is None else _ASKED if stated == _BASE64 else _OTHER


def _formats(column: pa.Array) -> list[Any]:
    """Return what the rows of a column of objects, or of their JSON, state; None where they state nothing."""
    if pa.types.is_struct(column.type):
        has_it = column.type.get_field_index(_NAME) >= 0
        return list(pc.struct_field(column, _NAME).to_pylist()) if has_it else [None] * len(column)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return [None] * len(column)
    return [_format_in(text) for text in column.to_pylist()]


def _format_in(text: str | None) -> Any:
    if text is None or _NAME not in text:
        return None
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return read.get(_NAME) if isinstance(read, dict) else None
