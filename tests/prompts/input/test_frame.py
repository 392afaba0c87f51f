"""Data from Python as files: types are kept, and equal data is the same file."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError, RunDirectoryError
from batchrun.prompts.input import frame
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.frame import is_frame, keep_batches, keep_rows, remove_others


def reader(table: Any) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_stream(table)


def test_equal_data_is_the_same_file_whatever_its_batches(tmp_path: Path) -> None:
    """The file of the first call stays as it is: a run that resumes knows its input by name, size and time."""
    table = pa.table({"n": range(25_000)})
    path = keep_batches(table.to_reader(), tmp_path)
    before = path.stat()
    assert keep_batches(table.to_reader(max_chunksize=777), tmp_path) == path
    assert path.stat() == before
    assert keep_batches(table.slice(1).to_reader(), tmp_path) != path
    assert pq.read_table(path).equals(table)
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".parquet", ".parquet"]


def test_types_of_polars_come_back(tmp_path: Path) -> None:
    """Among them views of strings, also inside of lists, structs and categories, which Parquet lacks."""
    frame = pl.DataFrame(
        {
            "text": ["a", None],
            "kind": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
            "group": pl.Series(["x", "y"], dtype=pl.Categorical),
            "day": [dt.date(2020, 1, 1), None],
            "both": [{"n": 1, "s": "q"}] * 2,
            "many": [["a"], ["b", "c"]],
            "small": pl.Series([1, 2], dtype=pl.UInt8),
        }
    )
    assert pl.DataFrame(pq.read_table(keep_batches(reader(frame), tmp_path))).equals(frame)
    assert pl.DataFrame(pq.read_table(keep_batches(reader(frame), tmp_path))).schema == frame.schema


def test_runs_are_undone(tmp_path: Path) -> None:
    """Parquet lacks them, and Arrow does not cast them."""
    column = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    path = keep_batches(pa.table({"runs": column}).to_reader(), tmp_path)
    assert pq.read_table(path).to_pydict() == {"runs": ["a", "a", "b"]}


def test_a_frame_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    assert pq.read_table(keep_batches(pa.table({"n": pa.array([], pa.int8())}).to_reader(), tmp_path)).num_rows == 0


def test_a_type_that_parquet_lacks_is_named_with_its_column(tmp_path: Path) -> None:
    """And nothing is left in the folder."""
    table = pa.table({"ok": [1], "gap": pa.array([pa.MonthDayNano([1, 2, 3])])})
    with pytest.raises(InputError, match='column "gap" has a type that Parquet lacks: month_day_nano_interval'):
        keep_batches(table.to_reader(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_kept_as_json_lines(tmp_path: Path) -> None:
    """Each as it is: nothing is filled in, as it would be in a table."""
    path = keep_rows([{"a": 1}, {"b": [None, {"c": "é"}]}], tmp_path)
    assert path.read_text(encoding="utf-8") == '{"a":1}\n{"b":[null,{"c":"é"}]}\n'
    assert keep_rows(iter([{"a": 1}, {"b": [None, {"c": "é"}]}]), tmp_path) == path


@pytest.mark.parametrize(
    ("row", "message"),
    [("text", "row 1 is of type str"), ({"x": {1, 2}}, "row 1 cannot be kept as JSON"), ({1: 2}, "row 1 cannot")],
)
def test_a_row_that_json_lacks_is_named(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keep_rows([{"a": 1}, row], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file/run: cannot be written: Not a directory"):
        keep_rows([{"a": 1}], tmp_path / "file" / "run")


def test_files_of_earlier_data_are_removed_and_no_others(tmp_path: Path) -> None:
    first, second = (keep_rows([{"a": number}], tmp_path) for number in range(2))
    (tmp_path / "frame-mine.parquet").touch()
    remove_others(tmp_path, ["elsewhere/" + second.name])
    assert {each.name for each in tmp_path.iterdir()} == {second.name, "frame-mine.parquet"}
    assert not first.exists()


def test_messages_call_the_file_the_data_and_its_paths_are_those_of_the_program(tmp_path: Path) -> None:
    """An image in a data frame is relative to the current directory, not to the run directory."""
    [file] = find_files([str(keep_rows([{"a": 1}], tmp_path))])
    assert (file.name, file.shown, file.folder, is_frame(file.path)) == ("the data", "the data", "", True)


def test_a_file_is_whole_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut, a broken file of this name would stay."""
    forced: list[tuple[str, list[str]]] = []

    def force(path: Path) -> None:
        forced.append((path.name.rpartition(".")[2], [each.name for each in tmp_path.glob("frame-*")]))

    monkeypatch.setattr(frame, "force", force)
    keep_rows([{"a": 1}], tmp_path)
    assert forced == [("tmp", [])]
