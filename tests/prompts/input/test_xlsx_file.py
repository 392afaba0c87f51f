import builtins
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files, identity
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row

ROWS = [
    ["text", "n", "x", "yes", "day", "at"],
    ["a", 1, 0.5, True, date(2026, 5, 1), datetime(2026, 5, 1, 12, 30)],
    [None] * 6,
    ["", None, None, None, None, None],
    ["b", None, 2, False, None, datetime(2026, 5, 2)],
]


def workbook(path: Path, **sheets: list[list[Any]]) -> str:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def read(path: str, **settings: Any) -> list[Row]:
    return [row for batch in RowReader(find_files([path]), **settings) for row in batch]


def test_cells_keep_their_types_and_empty_ones_are_null(tmp_path: Path) -> None:
    """Rows without a value are passed over; a row is named by the number that Excel shows."""
    one, two = read(workbook(tmp_path / "a.xlsx", Sheet=ROWS))
    assert one.columns == dict(zip(ROWS[0], ROWS[1], strict=True))
    assert one.columns is not None
    assert type(one.columns["day"]) is date
    assert two.columns == {"text": "b", "n": None, "x": 2, "yes": False, "day": None, "at": datetime(2026, 5, 2)}
    assert [row.source for row in (one, two)] == ["a.xlsx: row 2", "a.xlsx: row 5"]
    assert [row.number for row in (one, two)] == [0, 1]


def test_the_columns_of_the_results_have_the_types_of_the_cells(tmp_path: Path) -> None:
    columns = InputColumns(find_files([workbook(tmp_path / "a.xlsx", Sheet=ROWS)]))
    assert columns.schema.types == [
        *(pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"))
    ]
    assert sum(batch.num_rows for batch in columns.batches()) == 2


@pytest.mark.parametrize("times", [[date(2026, 5, 1), datetime(2026, 5, 2, 12, 30)], [time(1, 2), date(2026, 5, 1)]])
@pytest.mark.parametrize("is_turned", [False, True])
def test_a_column_of_dates_and_times_is_text_that_loses_nothing(
    tmp_path: Path, times: list[Any], is_turned: bool
) -> None:
    """Arrow would make dates of the times, where a date comes first."""
    times = times[::-1] if is_turned else times
    columns = InputColumns(find_files([workbook(tmp_path / "a.xlsx", Sheet=[["at"], *([each] for each in times)])]))
    assert columns.schema == pa.schema([("at", pa.string())])
    (batch,) = columns.batches()
    assert batch["at"].to_pylist() == [each.isoformat() for each in times]


def test_the_first_sheet_is_read_unless_one_is_named(tmp_path: Path) -> None:
    """Each is an input of its own, and an unknown one is refused with the nearest."""
    path = workbook(tmp_path / "a.xlsx", First=[["q"], ["one"]], Second=[["q"], ["two"]])
    assert [row.columns for row in read(path)] == [{"q": "one"}]
    [row] = read(f"{path}#Second")
    assert (row.columns, row.source) == ({"q": "two"}, "a.xlsx#Second: row 2")
    assert identity(find_files([path])[0]) != identity(find_files([f"{path}#Second"])[0])
    with pytest.raises(InputError, match=r"has no sheet Secnd; did you mean Second\?; its sheets are First, Second"):
        read(f"{path}#Secnd")


def test_columns_without_a_name_are_left_out_and_errors_are_null(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", Sheet=[["q", None, "r"], ["one", "x", "#N/A"], ["two"]])
    assert [row.columns for row in read(path)] == [{"q": "one", "r": None}, {"q": "two", "r": None}]


def test_rows_before_the_first_wanted_are_passed_over(tmp_path: Path) -> None:
    """They are counted, and the last part says that all of the file was read."""
    path = workbook(tmp_path / "a.xlsx", Sheet=[["q"], *([number] for number in range(10))])
    reader = RowReader(find_files([path]), first=7, batch_rows=2)
    assert [row.columns for batch in reader for row in batch] == [{"q": number} for number in (7, 8, 9)]
    assert (reader.rows_read, reader.is_complete) == (10, True)


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='has the column "q" twice'):
        read(workbook(tmp_path / "a.xlsx", Sheet=[["q", "q"], [1, 2]]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "a.xlsx: is not an Excel workbook, or is damaged"),
        (b"PK\x03\x04[Content_Types].xml", "a.xlsx: is not an Excel workbook, or is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"a.xlsx: is an Excel workbook \(.xls\); save it as CSV UTF-8"),
    ],
)
def test_a_file_that_is_not_a_workbook_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(str(tmp_path / "a.xlsx"))


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "a.xlsx", Sheet=ROWS)
    known = builtins.__import__

    def missing(name: str, *more: Any, **named: Any) -> Any:
        if name == "openpyxl":
            raise ImportError("No module named 'openpyxl'")
        return known(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"needs openpyxl \(.*\); install it: pip install 'openpyxl>=3.1'"):
        read(path)


def test_a_folder_is_searched_for_workbooks_only_where_the_ending_is_named(tmp_path: Path) -> None:
    """Notes next to the data are not input."""
    workbook(tmp_path / "a.xlsx", Sheet=ROWS)
    (tmp_path / "b.jsonl").write_text('{"prompt": "x"}\n', encoding="utf-8")
    assert [file.name for file in find_files([str(tmp_path)])] == ["b.jsonl"]
    assert [file.name for file in find_files([str(tmp_path / "*.xlsx")])] == ["a.xlsx"]
