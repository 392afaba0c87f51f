"""Reading input files: their rows, and the columns that the results keep."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def read(path: str, **settings: Any) -> list[Row]:
    """Return the rows of a file, without its folder in the messages."""
    return [row._replace(folder="") for rows in RowReader(find_files([path]), **settings) for row in rows]


def parquet(path: Path, content: pa.Table, **settings: Any) -> str:
    """Write a Parquet file; return its path."""
    pq.write_table(content, path, **settings)
    return str(path)


def kept(path: str | Path) -> list[dict[str, Any]]:
    """Return the input columns in the results."""
    found = InputColumns(find_files([str(path)]))
    table = pa.Table.from_batches(found.batches(), found.schema)
    table.validate(full=True)
    return list(table.to_pylist())
