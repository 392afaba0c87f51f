"""Rules that every format follows."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from harness.input_files import parquet, read

from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson.zst", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.ndjson"])
def test_every_ending_is_read(write, name: str) -> None:
    """Compressed or not, the row is the same except for its line."""
    content = b"a,b\n1,2\n" if "csv" in name else b'{"a": "1", "b": "2"}\n'
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    assert [row.columns for row in read(write(name, content))] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("name", ["there/a.jsonl", "there/a.csv", "there/a.parquet"])
def test_rows_know_the_folder_that_their_file_is_in(tmp_path: Path, write, name: str) -> None:
    """Paths in a row are relative to it."""
    (tmp_path / "there").mkdir()
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet(path, pa.table({"a": ["1"]}))
    else:
        path.write_text('{"a": "1"}\n' if name.endswith("jsonl") else "a\n1\n")
    [[row]] = RowReader(find_files([str(path)]))
    assert (row.columns, row.folder) == ({"a": "1"}, str(tmp_path / "there"))
