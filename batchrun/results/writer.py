"""Writes results.parquet: outcomes and input rows, both in order, merged as they come.

Neither side is ever held as a whole. Outcomes are parsed a chunk at a time, so that raw answers do not pile up; the
input is walked forward a batch at a time; what comes of both is collected into row groups that are bounded in rows and
in bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.pricing import PriceLike
from batchrun.records import OutcomeColumns
from batchrun.results.columns import BEFORE_INPUT, outcome_arrays, results_schema
from batchrun.results.files import replacing
from batchrun.results.merge import InputColumns, Merge, Part

USAGE_KEY = "batchrun.usage"
"""Footer metadata: the run's totals as JSON."""

_GROUP_ROWS = 16_384
_GROUP_BYTES = 64 * 2**20
"""A row group is what a reader must hold at once."""

_PLAIN = {"row", "custom_id", "response", "reasoning", "tool_calls", "latency_s", "finished_at", "error", "response_id"}
"""Columns whose values hardly ever repeat: a dictionary of them would be built and thrown away."""


class Written(NamedTuple):
    """What became of the outcomes."""

    rows: int
    dropped: int
    """Of rows that the input no longer has."""


def write_results(
    path: Path,
    outcomes: Iterable[OutcomeColumns],
    inputs: InputColumns | None,
    prices: Mapping[str, PriceLike | None],
    totals: Callable[[], Any],
) -> Written:
    """Write results.parquet in one step.

    Args:
        path: the file; whatever was there stays until the new one is whole.
        outcomes: by row, model and sample, in columns of any length but none.
        inputs: the input's columns; None leaves them out.
        prices: by model; one that is missing has no price.
        totals: what the footer says of the whole run, as JSON can hold it; asked for after the last outcome.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    schema = results_schema(None if inputs is None else inputs.schema)
    seen = 0
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", use_dictionary=[name for name in schema.names if name not in _PLAIN]
        ) as file,
    ):
        groups = _RowGroups(file)
        merge = None if inputs is None else Merge(inputs)
        for some in outcomes:
            rows = some["row"]
            seen += len(rows)
            own = outcome_arrays(some, prices)
            for part in [Part(0, len(rows), [])] if merge is None else merge.parts(rows):
                groups.add(_batch([each[part.start : part.stop] for each in own], part.columns, schema))
        groups.close()
        file.add_key_value_metadata({USAGE_KEY: orjson.dumps(totals()).decode()})
    return Written(groups.rows, seen - groups.rows)


def _batch(own: list[pa.Array], columns: list[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    split = len(BEFORE_INPUT)
    return pa.RecordBatch.from_arrays([*own[:split], *columns, *own[split:]], schema=schema)


class _RowGroups:
    """Collects batches until they make a row group."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self.rows = 0
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
        """Write what there is as one row group."""
        if self._batches:
            self._file.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
        self.rows += self._rows
        self._batches, self._rows, self._bytes = [], 0, 0
