"""Writes Parquet files: batches collected into row groups that are bounded in rows and in bytes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.results.table import Results

USAGE_KEY = "batchrun.usage"
"""Footer metadata: the run's totals as JSON."""

ANSWERS_KEY = "batchrun.answers"
"""Footer metadata: what is to be known about the completed rows of each model, as JSON."""

SCORES_KEY = "batchrun.scores"
"""Footer metadata: the scores of each model as JSON; absent where rows have no score."""

AGREEMENT_KEY = "batchrun.agreement"
"""Footer metadata: how far the answers to a prompt agree, as JSON; absent where they do not vote."""

SCORER_KEY = "batchrun.scorer"
"""Footer metadata: what scored the rows, as a JSON text for people; absent where rows have no score."""

_GROUP_ROWS = 16_384
_GROUP_BYTES = 16 * 2**20
"""A reader holds a whole row group in memory."""

_ZSTD, _WORTH = "zstd", 0.85
"""How columns are compressed, and the part of vectors that must be left for it not to be worth it. Measured on vectors
of 384 random numbers: 0.91 of their size is left, for 1.4 of the 4.8 µs that writing a row takes."""

_LEAST_VALUES = 64
"""From how many values on they show whether they repeat."""

_LOOKED_AT = 64
"""Vectors by which this is decided."""

_BELOW = ".list."
"""In the path of the numbers, after the name of their column."""

_PLAIN = {"row", "custom_id", "response", "reasoning", "tool_calls", "latency_s", "finished_at", "error", "response_id"}
"""Columns whose values rarely repeat: a dictionary of them would be built and thrown away."""


def write_results(path: Path, results: Results, footer: Callable[[], Mapping[str, Any]]) -> None:
    """Write results.parquet.

    Args:
        path: the file.
        results: the rows.
        footer: returns the footer's metadata, as JSON can hold it; called after the last row.
    """
    write_parquet(path, results.schema, results.batches(), plain=_PLAIN, footer=footer)


def write_parquet(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    plain: Iterable[str],
    footer: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Write a Parquet file; `plain` columns get no dictionary."""
    rest = iter(batches)
    first = [*islice(rest, 1)]
    distinct = {name for batch in first for name in schema.names if _are_distinct(batch[name])}
    repeating = [name for name in schema.names if name not in distinct.union(plain)]
    compression = compressions(schema, first)
    with pq.ParquetWriter(path, schema, compression=compression, use_dictionary=repeating) as file:
        groups = _RowGroups(file)
        for batch in chain(first, rest):
            groups.add(batch)
        groups.close()
        if metadata := {key: orjson.dumps(value).decode() for key, value in footer().items()}:
            file.add_key_value_metadata(metadata)


def compressions(schema: pa.Schema, first: Sequence[pa.RecordBatch]) -> str | dict[str, str]:
    """Return how columns are compressed: all with zstd, but for vectors that hardly become smaller by it.

    The numbers of most models fill all of their bits. Those that come from half the bits become half as long.

    Args:
        schema: of the table.
        first: its first rows, from which this is decided; none where there are no rows.
    """
    full = {each.name for batch in first for each in schema if _is_vector(each.type) and _is_full(batch[each.name])}
    if not full:
        return _ZSTD
    empty = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), empty)
    leaves = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    names = [leaves.column(place).path for place in range(len(leaves))]
    return {name: "none" if name.partition(_BELOW)[0] in full else _ZSTD for name in names}


def _is_vector(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind)) and kind.value_type == pa.float32()


def _is_full(vectors: pa.Array) -> bool:
    """Return whether zstd leaves more than `_WORTH` of the first of some vectors."""
    numbers = vectors.slice(0, _LOOKED_AT).flatten()
    content = numbers.buffers()[1]
    if content is None or not len(numbers):
        return False
    width = numbers.type.bit_width // 8
    some = content.slice(numbers.offset * width, len(numbers) * width)
    return bool(len(pa.Codec(_ZSTD).compress(some)) > _WORTH * some.size)


def _are_distinct(values: pa.Array) -> bool:
    """Return whether most of some values are different from one another: a dictionary would be thrown away."""
    if not (pa.types.is_string(values.type) or pa.types.is_primitive(values.type)) or len(values) < _LEAST_VALUES:
        return False
    return bool(2 * pc.count_distinct(values, mode="all").as_py() > len(values))


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Return the scores of each model from the footer of a results.parquet; empty if there are none to read."""
    return _read_list(path, SCORES_KEY)


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Return the counts of the completed rows of each model from the footer of a results.parquet, likewise."""
    return _read_list(path, ANSWERS_KEY)


def read_agreement(path: Path) -> dict[str, Any] | None:
    """Return how far the answers of a results.parquet agree; None where they do not vote."""
    found = _read(path, AGREEMENT_KEY)
    return found if isinstance(found, dict) else None


def read_scorer(path: Path) -> str | None:
    """Return what scored the rows of a results.parquet; None if they are not scored, or an older version wrote it."""
    found = _read(path, SCORER_KEY)
    return None if found is None else str(found)


def _read_list(path: Path, key: str) -> list[dict[str, Any]]:
    return list(_read(path, key) or [])


def _read(path: Path, key: str) -> Any:
    """Return a value of the footer; None where it is missing or cannot be read."""
    try:
        return orjson.loads((pq.read_metadata(path).metadata or {})[key.encode()])
    except (OSError, pa.ArrowException, orjson.JSONDecodeError, KeyError):
        return None


class _RowGroups:
    """Collects batches until they make a row group."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self.close()

    def close(self) -> None:
        """Write the collected rows as one row group."""
        if self._batches:
            self._file.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
        self._batches, self._rows, self._bytes = [], 0, 0
        pa.default_memory_pool().release_unused()  # otherwise the memory of all groups adds up
