"""Rules that every format follows."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from harness.input_files import parquet, read

from batchrun.prompts.input.endings import ENDINGS
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader


@pytest.mark.parametrize("name", [f"a{ending}" for ending in ENDINGS if ending not in (".parquet", ".xlsx")])
def test_every_ending_is_read(write, name: str) -> None:
    """Compressed or not, the row is the same except for its line."""
    contents = {"csv": b"a,b\n1,2\n", "tsv": b"a\tb\n1\t2\n", "json": b'[{"a": "1", "b": "2"}]', "txt": b"1\n"}
    content = contents.get(name.split(".")[1], b'{"a": "1", "b": "2"}\n')
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    expected = {"prompt": "1"} if ".txt" in name else {"a": "1", "b": "2"}
    assert [row.columns for row in read(write(name, content))] == [expected]


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
