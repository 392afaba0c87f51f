import datetime
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


def read(path: str, **settings) -> list[Row]:
    """Return the rows of a file, without the folder that it is in."""
    return [row._replace(folder="") for rows in RowReader(find_files([path]), **settings) for row in rows]


def parquet(path: Path, table: pa.Table, **settings) -> str:
    pq.write_table(table, path, **settings)
    return str(path)


def test_json_lines_are_read_with_their_physical_line_numbers(write) -> None:
    """BOM, CRLF, blank lines and a last line without newline are ordinary; blank lines are no rows."""
    path = write("a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": "\xc3\xa9"}\n\n{"a": null}')
    assert read(path) == [
        Row(0, {"a": 1}, "a.jsonl:1"),
        Row(1, {"a": "é"}, "a.jsonl:4"),
        Row(2, {"a": None}, "a.jsonl:6"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": 1} {"a": 2}', "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 8)"),
        (b'{"a": "\\ud800"}', "is not JSON"),
        (b"[" * 2000, "is not JSON"),
        (b"[1]", "is a list; must be a JSON object"),
        (b'"a"', "is a text; must be a JSON object"),
        (b"7", "is a number; must be a JSON object"),
        (b"null", "is null; must be a JSON object"),
    ],
)
def test_a_line_that_is_no_object_is_a_broken_row(write, line: bytes, problem: str) -> None:
    """The rows around it stay as they are, and keep their numbers."""
    rows = read(write("a.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 2}\n'))
    assert [row.columns for row in rows] == [{"a": 1}, None, {"a": 2}]
    assert [row.number for row in rows] == [0, 1, 2]
    assert rows[1].source == "a.jsonl:2"
    assert rows[1].problem is not None
    assert problem in rows[1].problem


@pytest.mark.parametrize(
    "content", ['[\n  {"a": 1},\n  {"a": 2}\n]', '[{"a": 1}, {"a": 2}]', '\n[{"a": 1},\n', '{\n "a": 1}']
)
def test_one_json_document_is_refused_with_the_cure(write, content: str) -> None:
    """A pretty-printed file would be nothing but broken rows."""
    with pytest.raises(InputError, match=r"a\.jsonl: is one JSON document; .*jq"):
        read(write("a.jsonl", content))


def test_csv_values_are_strings_as_they_stand(write) -> None:
    """BOM, CRLF, quoted newlines, commas and blank lines are ordinary; a source names the row's first line."""
    content = b'\xef\xbb\xbfid,text\r\n1,"a\r\nb, ""c"""\r\n\r\n 02 ,\n'
    assert read(write("a.csv", content)) == [
        Row(0, {"id": "1", "text": 'a\r\nb, "c"'}, "a.csv:2"),
        Row(1, {"id": " 02 ", "text": ""}, "a.csv:5"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_separated_by_semicolon_or_tab(write, delimiter: str) -> None:
    """A header without a comma tells."""
    path = write("a.csv", f"\nid{delimiter}text\n1{delimiter}b\n")
    assert read(path) == [Row(0, {"id": "1", "text": "b"}, "a.csv:3")]


def test_broken_csv_rows_leave_the_others_alone(write) -> None:
    """Too few fields, too many, no UTF-8, a carriage return in the middle: one row each."""
    rows = read(write("a.csv", b"a,b\n1\n1,2,3\n\xff,2\n1,x\ry\n5,6\n"))
    assert [row.problem for row in rows[:3]] == [
        "has 1 fields, the header has 2",
        "has 3 fields, the header has 2",
        "is not UTF-8",
    ]
    assert rows[3].problem is not None
    assert rows[3].problem.startswith("is not CSV")
    assert rows[4] == Row(4, {"a": "5", "b": "6"}, "a.csv:6")


def test_a_long_csv_field_is_ordinary(write) -> None:
    """The csv module's own limit of 128 KiB does not hold."""
    [row] = read(write("a.csv", "a\n" + "x" * 1_000_000 + "\n"))
    assert row.columns == {"a": "x" * 1_000_000}


@pytest.mark.parametrize(("content", "message"), [(b"a,a\n1,2\n", "twice"), (b"\xff,b\n1,2\n", "not UTF-8")])
def test_a_csv_header_that_names_nothing_clearly_is_refused(write, content: bytes, message: str) -> None:
    """Without names there are no columns."""
    with pytest.raises(InputError, match=message):
        read(write("a.csv", content))


def test_parquet_rows_are_python_objects(tmp_path: Path) -> None:
    """Nested columns are dicts and lists, null is None, and a row is named by its number in the file."""
    table = pa.table({"a": [1, None], "b": [{"x": ["y"]}, None]})
    assert read(parquet(tmp_path / "a.parquet", table)) == [
        Row(0, {"a": 1, "b": {"x": ["y"]}}, "a.parquet: row 0"),
        Row(1, {"a": None, "b": None}, "a.parquet: row 1"),
    ]


def test_a_parquet_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody could tell which is meant."""
    table = pa.table([[1], [2]], names=["a", "a"])
    with pytest.raises(InputError, match='"a" twice'):
        read(parquet(tmp_path / "a.parquet", table))


def test_only_the_needed_parquet_columns_are_read(tmp_path: Path) -> None:
    """With no needed column at all every column is, so that a message can name them."""
    path = parquet(tmp_path / "a.parquet", pa.table({"a": [1], "b": [2]}))
    assert read(path, columns={"b", "z"})[0].columns == {"b": 2}
    assert read(path, columns={"z"})[0].columns == {"a": 1, "b": 2}


def test_nanoseconds_are_read_as_microseconds(tmp_path: Path) -> None:
    """Python's datetime holds no more."""
    table = pa.table({"at": pa.array([1_000_000_001], pa.timestamp("ns", "UTC"))})
    [row] = read(parquet(tmp_path / "a.parquet", table))
    assert row.columns == {"at": datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)}


def test_a_parquet_value_that_python_cannot_hold_breaks_its_row_only(tmp_path: Path) -> None:
    """A date in the year 290,000 or bytes in a string column spoil no other row."""
    table = pa.table({"at": pa.array([0, 2**62], pa.timestamp("us")), "b": ["x", "y"]})
    rows = read(parquet(tmp_path / "a.parquet", table))
    assert rows[0].problem is None
    assert rows[1].columns is None
    assert "cannot be read" in str(rows[1].problem)


def test_large_parquet_rows_come_few_at_a_time(tmp_path: Path) -> None:
    """A batch holds a few megabytes, whatever its rows hold."""
    table = pa.table({"a": ["x" * 1_000_000 + str(number) for number in range(20)]})
    path = parquet(tmp_path / "a.parquet", table, compression="none", use_dictionary=False)
    assert max(len(rows) for rows in RowReader(find_files([path]))) <= 5


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson.zst", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.ndjson"])
def test_every_ending_is_read(write, name: str) -> None:
    """Packed or not, the row is the same but for its line."""
    content = b"a,b\n1,2\n" if "csv" in name else b'{"a": "1", "b": "2"}\n'
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    assert [row.columns for row in read(write(name, content))] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("name", ["there/a.jsonl", "there/a.csv", "there/a.parquet"])
def test_rows_know_the_folder_that_their_file_is_in(tmp_path: Path, write, name: str) -> None:
    """What they name is relative to it."""
    (tmp_path / "there").mkdir()
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet(path, pa.table({"a": ["1"]}))
    else:
        path.write_text('{"a": "1"}\n' if name.endswith("jsonl") else "a\n1\n")
    [[row]] = RowReader(find_files([str(path)]))
    assert (row.columns, row.folder) == ({"a": "1"}, str(tmp_path / "there"))


def test_parquet_that_was_read_is_not_held(tmp_path: Path) -> None:
    """However long the file is: pyarrow, left to itself, keeps all of it."""
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
