import gzip
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def rows_of(reader: RowReader) -> list[Row]:
    return [row for rows in reader for row in rows]


def test_rows_are_numbered_over_all_files_in_order(tmp_path: Path, write) -> None:
    """Formats mix; row numbers continue over files, line numbers restart; an empty file among others is ignored."""
    paths = [write("a.jsonl", [{"a": 1}, {"a": 2}]), write("none.jsonl", b""), write("b.csv", b"a\n3\n")]
    pq.write_table(pa.table({"a": [4]}), tmp_path / "c.parquet")
    rows = rows_of(RowReader(find_files([*paths, str(tmp_path / "c.parquet")])))
    assert [(row.number, row.columns, row.source) for row in rows] == [
        (0, {"a": 1}, "a.jsonl:1"),
        (1, {"a": 2}, "a.jsonl:2"),
        (2, {"a": "3"}, "b.csv:2"),
        (3, {"a": 4}, "c.parquet: row 0"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 256, 257, 600])
def test_the_limit_ends_the_input_after_so_many_rows(write, limit: int) -> None:
    """Exactly N rows, across batches and files."""
    files = find_files([write("a.jsonl", [{"a": 1}] * 300), write("b.jsonl", [{"a": 1}] * 300)])
    reader = RowReader(files, limit=limit)
    assert [row.number for row in rows_of(reader)] == list(range(limit))
    assert (reader.rows_read, reader.is_complete, reader.fraction_read) == (limit, True, 1.0)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet", "jsonl.gz", "json", "json.gz", "txt", "tsv"])
def test_the_fraction_grows_with_the_rows_returned(tmp_path: Path, write, ending: str) -> None:
    """Rows read divided by the fraction read estimates the total from the first batch."""
    if ending == "parquet":
        pq.write_table(pa.table({"a": list(range(5000))}), tmp_path / "a.parquet")
        path = str(tmp_path / "a.parquet")
    elif ending in ("csv", "tsv", "txt"):
        path = write(f"a.{ending}", "a\n" * (ending != "txt") + "12345\n" * 5000)
    else:
        content = b'{"a": 12345}\n' * 5000 if "jsonl" in ending else b"[" + b'{"a": 12345},' * 4999 + b"{}]"
        path = write(f"a.{ending}", gzip.compress(content) if ending.endswith("gz") else content)
    reader = RowReader(find_files([path, path]))
    assert reader.fraction_read == 0.0
    estimates = [reader.rows_read / reader.fraction_read for _ in reader]
    assert all(9_000 < estimate < 11_000 for estimate in estimates)
    assert (reader.rows_read, reader.is_complete, reader.fraction_read) == (10_000, True, 1.0)


def test_reading_starts_again_at_the_first_row(write) -> None:
    """A file can be read any number of times."""
    reader = RowReader(find_files([write("a.jsonl", [{"a": 1}] * 3)]))
    assert rows_of(reader) == rows_of(reader)
    assert reader.rows_read == 3


def test_a_closed_reader_ends_at_its_next_rows(write) -> None:
    """A reader in another thread gets only the rows that it already waits for."""
    reader = RowReader(find_files([write("a.jsonl", [{"a": 1}] * 1000)]))
    rows = iter(reader)
    next(rows)
    reader.close()
    assert list(rows) == []
    assert not reader.is_complete


def test_a_truncated_file_raises_after_its_rows(write) -> None:
    """The rows before the end are returned; the message names file and cure."""
    content = b"".join(b'{"a": "%s"}\n' % os.urandom(30).hex().encode() for _ in range(20_000))
    packed = gzip.compress(content)
    seen: list[Row] = []
    reader = RowReader(find_files([write("a.jsonl.gz", packed[: len(packed) // 2])]))
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: ends too early; download"):
        seen.extend(row for rows in reader for row in rows)
    assert len(seen) > 8_000
    assert all(row.problem is None for row in seen)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00" + b"garbage" * 9),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"garbage" * 9),
        ("a.parquet", b"PAR1" + b"garbage" * 9 + b"PAR1"),
    ],
)
def test_a_damaged_file_is_an_input_error(write, name: str, content: bytes) -> None:
    """Whatever the library raises, the message names the file."""
    with pytest.raises(InputError, match=name):
        rows_of(RowReader(find_files([write(name, content)])))


def test_standard_input_must_be_there() -> None:
    """A program without standard input gets a message."""
    with pytest.raises(InputError, match="standard input is closed"):
        rows_of(RowReader(find_files(["-"])))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "txt"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    """25 MB are read in a few."""
    line = b'{"a": "%s"}\n' % (b"x" * 4000) if ending == "jsonl" else b"x" * 4000 + b"\n"
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"a\n" * (ending in ("csv", "tsv")) + line * 6_250)
    tracemalloc.start()
    try:
        count = sum(len(rows) for rows in RowReader(find_files([str(path)])))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 6_250
    assert peak < 12_000_000


@pytest.mark.parametrize("first", [0, 1, 299, 300, 301, 650, 899, 900, 2000])
@pytest.mark.parametrize("limit", [None, 310])
def test_reading_may_begin_at_any_row(tmp_path: Path, write, first: int, limit: int | None) -> None:
    """In every format and across files: the same rows with the same numbers as in a full reading."""
    lines = [b'{"a": 1}', b"", b"broken", b"  ", b'{"a": 2}'] * 100
    table = pa.table({"a": list(range(300))})
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=70)
    paths = [write("a.jsonl", b"\n".join(lines)), write("b.csv", "a\n" + "1\n\n" * 300), str(tmp_path / "c.parquet")]
    files = find_files(paths)
    reader = RowReader(files, limit=limit, batch_rows=16, first=first)
    found = rows_of(reader)
    assert found == [row for row in rows_of(RowReader(files, limit=limit)) if row.number >= first]
    assert (reader.rows_read, reader.is_complete, reader.fraction_read) == (limit or 900, True, 1.0)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.csv.gz"])
@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-16-be", "utf-8-sig"])
def test_a_text_is_read_in_its_encoding(write, name: str, encoding: str) -> None:
    """Also packed, and with or without a byte order mark."""
    rows = {
        "csv": "prompt\nGrüße\n",
        "txt": "Grüße\n",
        "json": '[{"prompt": "Grüße"}]',
        "jsonl": '{"prompt": "Grüße"}\n',
    }
    content = rows[name.split(".")[1].replace("tsv", "csv")].encode(encoding)
    path = write(name, gzip.compress(content) if name.endswith(".gz") else content)
    assert [row.columns for row in rows_of(RowReader(find_files([path], encoding)))] == [{"prompt": "Grüße"}]


@pytest.mark.parametrize("ending", ["csv", "txt", "jsonl"])
def test_bytes_that_are_not_in_the_encoding_break_their_row_only(write, ending: str) -> None:
    """Windows-1252 has no letter 0x81. The message names the encoding."""
    lines = {"csv": b"prompt\na\x81\nb\xfc\n", "txt": b"a\x81\nb\xfc\n"}
    content = lines.get(ending, b'{"prompt": "a\x81"}\n{"prompt": "b\xfc"}\n')
    one, two = rows_of(RowReader(find_files([write(f"a.{ending}", content)], "windows-1252")))
    assert one.problem == "is not windows-1252"
    assert (two.problem, two.columns) == (None, {"prompt": "bü"})


def test_letters_of_several_bytes_may_be_cut_by_the_reads(write) -> None:
    """A file is read in pieces of a MiB."""
    text = "a" + "語" * 1_000_000
    [row] = rows_of(RowReader(find_files([write("a.txt", text.encode("shift_jis"))], "shift_jis")))
    assert row.columns == {"prompt": text}
