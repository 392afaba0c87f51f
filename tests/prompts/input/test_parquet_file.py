"""The rows of Parquet."""

import datetime
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.input_files import parquet, read

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.parquet_file import stated_rows
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def test_parquet_rows_are_python_objects(tmp_path: Path) -> None:
    """Nested columns are dicts and lists, null is None, and a row is named by its number in the file."""
    table = pa.table({"a": [1, None], "b": [{"x": ["y"]}, None]})
    assert read(parquet(tmp_path / "a.parquet", table)) == [
        Row(0, {"a": 1, "b": {"x": ["y"]}}, "a.parquet: row 0", has_filled_nulls=True),
        Row(1, {"a": None, "b": None}, "a.parquet: row 1", has_filled_nulls=True),
    ]


def test_a_parquet_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    """It is unclear which one is meant."""
    table = pa.table([[1], [2]], names=["a", "a"])
    with pytest.raises(InputError, match='"a" twice'):
        read(parquet(tmp_path / "a.parquet", table))


def test_only_the_needed_parquet_columns_are_read(tmp_path: Path) -> None:
    """If no column is needed, all are read, so that a message can name them."""
    path = parquet(tmp_path / "a.parquet", pa.table({"a": [1], "b": [2]}))
    assert read(path, columns={"b", "z"})[0].columns == {"b": 2}
    assert read(path, columns={"z"})[0].columns == {"a": 1, "b": 2}


def test_nanoseconds_are_read_as_microseconds(tmp_path: Path) -> None:
    """Python's datetime has no nanoseconds."""
    table = pa.table({"at": pa.array([1_000_000_001], pa.timestamp("ns", "UTC"))})
    [row] = read(parquet(tmp_path / "a.parquet", table))
    assert row.columns == {"at": datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)}


def test_a_footer_that_counts_no_rows_loses_none(tmp_path: Path) -> None:
    """Early writers left the sum at 0; the row groups state how many rows they have."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["x", "y", "z"]}), path, store_schema=False)
    whole = bytearray(path.read_bytes())
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    place = whole.index(b"\x16\x06\x19", footer)  # field 3 of the footer: num_rows, 3 as a zigzag number
    whole[place + 1] = 0
    path.write_bytes(whole)
    assert pq.ParquetFile(path).metadata.num_rows == 0
    assert [row.columns for row in read(str(path))] == [{"a": "x"}, {"a": "y"}, {"a": "z"}]
    assert [row.number for row in read(str(path), first=1)] == [1, 2]
    columns = InputColumns(find_files([str(path)]))
    assert pa.Table.from_batches(columns.batches(), columns.schema)["a"].to_pylist() == ["x", "y", "z"]


def test_bytes_stay_bytes_where_they_are_images(tmp_path: Path) -> None:
    """Elsewhere they are text, as Impala and Hive write it; what is not UTF-8 never becomes a text."""
    path = parquet(tmp_path / "a.parquet", pa.table({"a": [b"BM"], "b": [b"BM"], "c": [b"\xff"]}))
    [row] = read(path, as_bytes=["a"])
    assert row.columns == {"a": b"BM", "b": "BM", "c": b"\xff"}
    with pytest.raises(ValueError, match="not UTF-8"):
        f"{row.columns['c']}"
    with pytest.raises(ValueError, match="not UTF-8"):
        str([row.columns["c"]])


def test_a_parquet_value_that_python_cannot_hold_breaks_its_row_only(tmp_path: Path) -> None:
    """A date in the year 290,000 or bytes in a string column break no other row."""
    table = pa.table({"at": pa.array([0, 2**62], pa.timestamp("us")), "b": ["x", "y"]})
    rows = read(parquet(tmp_path / "a.parquet", table))
    assert rows[0].problem is None
    assert rows[1].columns is None
    assert "cannot be read" in str(rows[1].problem)


def test_large_parquet_rows_come_in_small_batches(tmp_path: Path) -> None:
    """A batch has a few megabytes, however large its rows are."""
    table = pa.table({"a": ["x" * 1_000_000 + str(number) for number in range(20)]})
    path = parquet(tmp_path / "a.parquet", table, compression="none", use_dictionary=False)
    assert max(len(rows) for rows in RowReader(find_files([path]))) <= 5


def test_parquet_that_was_read_is_not_kept_in_memory(tmp_path: Path) -> None:
    """However long the file is: by default pyarrow keeps all of it."""
    path = str(tmp_path / "a.parquet")
    with pq.ParquetWriter(path, pa.schema([("a", pa.binary())])) as file:
        for _ in range(48):
            file.write_table(pa.table({"a": [os.urandom(1 << 20)]}))
    tracemalloc.start()
    try:
        for rows in RowReader(find_files([path])):
            assert len(rows) <= 4
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 24 << 20  # of 48


def test_names_of_columns_that_are_not_utf8_refuse_the_file(tmp_path: Path) -> None:
    """Of columns in lists too, whose names are read when the file is opened."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"list": [[{"inner": 1}]]}), path, store_schema=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"inner", b"\xffnner"))
    files = find_files([str(path)])
    assert stated_rows(files) is None
    with pytest.raises(InputError, match="not UTF-8"):
        list(RowReader(files))
