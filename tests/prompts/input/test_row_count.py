"""The rows of files are counted as a run reads them."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.prompts.input.files import InputFile, find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.input.row_count import asked, count_rows

LINES = b'{"prompt": "a"}\n\n   \n{"prompt": "b"}\r\nnot JSON\n"text"\n{"prompt": "c"}'
CSV = b'id,text\n1,"two\nlines"\n\n2,"a ""quoted"" word\n\n"\n3,a,b\n4,"wrong"x\n5,"not closed\n6,b\n'


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def never() -> bool:
    return False


def read(files: list[InputFile], limit: int | None = None) -> int:
    return sum(len(rows) for rows in RowReader(files, limit=limit))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.csv", CSV),
        ("a.csv", b"text\n"),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.txt", b"a\n\n  \nb\r\n\xff\nd"),
        ("a.json", b'[{"a": "[,"},\n5,\n\n"x, y",, {"b": [1, 2]}\n]\n\n\n'),
        ("a.json", b'{"a": 1}\n\nnot JSON\n\n{"a": 2}'),
    ],
)
@pytest.mark.parametrize("limit", [None, 3])
def test_the_count_is_the_number_of_rows_that_are_read(
    tmp_path: Path, name: str, content: bytes, pack: Callable[[bytes], bytes], limit: int | None
) -> None:
    """Blank lines, quoted newlines and broken rows included."""
    (tmp_path / name).write_bytes(pack(content))
    files = find_files([str(tmp_path / name)])
    rows = count_rows(files, limit, never)
    assert rows == read(files, limit)
    assert rows != content.count(b"\n")


def test_the_rows_of_all_files_are_counted(tmp_path: Path) -> None:
    """Parquet too, by the numbers that its row groups state."""
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.csv").write_bytes(CSV)
    pq.write_table(pa.table({"x": list(range(7_000))}), tmp_path / "c.parquet", row_group_size=2_000)
    files = find_files([str(tmp_path)])
    assert count_rows(files, None, never) == read(files) == read(files[:2]) + 7_000


def test_a_file_that_breaks_off_is_not_counted(tmp_path: Path) -> None:
    """How many rows it was meant to have is not known."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES * 100_000)[:-100])
    assert count_rows(find_files([str(tmp_path)]), None, never) is None


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.json"])
def test_the_count_is_given_up_in_the_middle_of_a_file(tmp_path: Path, name: str) -> None:
    """It asks after each megabyte."""
    line = {"a.txt": b"a line of text\n", "a.json": b'{"prompt": 1},\n'}.get(name, b'{"prompt": 1}\n')
    (tmp_path / name).write_bytes(b"[" * (name == "a.json") + line * 500_000)
    asks: list[int] = []

    def is_over() -> bool:
        asks.append(1)
        return len(asks) == 3

    assert count_rows(find_files([str(tmp_path / name)]), None, is_over) is None
    assert len(asks) == 3


def test_the_program_prints_the_number(tmp_path: Path) -> None:
    """It gets files and limit on standard input."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"prompt": str(row)}) + "\n" for row in range(3_000)))
    files = find_files([str(tmp_path)])
    for limit, printed in ((None, b"3000"), (2_999, b"2999")):
        command = [sys.executable, "-m", "batchrun.prompts.input.row_count"]
        done = subprocess.run(command, input=asked(files, limit), capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (printed, b"")
