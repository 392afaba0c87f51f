"""A function that writes results for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.results.columns import SCORE, results_schema

Write = Callable[..., Path]

ROW = {
    "model": "m",
    "sample": 0,
    "status": "completed",
    "response": "yes",
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "latency_s": 0.5,
    "attempts": 1,
    "finished_at": 10_000,
}


@pytest.fixture
def write_results(tmp_path: Path) -> Write:
    """Return a function that writes results.parquet. Each dict is a row and replaces default values.

    `extra` has the types of columns of the input, `typed` those of columns of the answer.
    """

    def write(
        *rows: dict[str, Any],
        extra: dict[str, pa.DataType] | None = None,
        typed: dict[str, pa.DataType] | None = None,
        is_scored: bool = False,
    ) -> Path:
        own = list(results_schema(pa.schema(list((extra or {}).items())), added=[SCORE] if is_scored else []))
        split = [field.name for field in own].index("tool_calls")
        schema = pa.schema([*own[:split], *(pa.field(*each) for each in (typed or {}).items()), *own[split:]])
        whole = [{"row": number, "custom_id": str(number), **ROW, **row} for number, row in enumerate(rows)]
        path = tmp_path / "results.parquet"
        pq.write_table(pa.Table.from_pylist(whole, schema=schema), path)
        return path

    return write
