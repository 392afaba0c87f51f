"""Results are read in the memory of one row group."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.results.row_groups import batches_of


@pytest.mark.parametrize("most", [1, 3, 4, 100])
def test_every_row_comes_once_in_order_and_no_batch_leaves_its_row_group(most: int, tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": range(10), "other": range(10)}), tmp_path / "a.parquet", row_group_size=4)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        batches = [batch.to_pydict() for batch in batches_of(file, most, columns=["row"])]
    assert [row for batch in batches for row in batch["row"]] == list(range(10))
    assert all(batch.keys() == {"row"} for batch in batches)
    assert all(len({row // 4 for row in batch["row"]}) == 1 and len(batch["row"]) <= most for batch in batches)


def test_a_file_without_rows_has_no_batches(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert [batch.num_rows for batch in batches_of(file, 5, columns=["row"]) if batch.num_rows] == []
