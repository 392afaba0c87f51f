"""A workbook of Excel as input."""

from datetime import date
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from harness.prompts import results


def test_a_sheet_of_a_workbook_is_answered_and_its_columns_keep_their_types(run: Any, endpoint: Any) -> None:
    """The same command sends nothing again; another sheet is another input."""
    book = openpyxl.Workbook()
    book.worksheets[0].title = "Notes"
    sheet = book.create_sheet("Data")
    for row in (["text", "stars", "day"], ["good", 5, date(2026, 5, 1)], ["bad", None, None]):
        sheet.append(row)
    book.save("book.xlsx")
    asked = ("book.xlsx#Data", "-t", "{{ text }}, {{ stars }}, {{ day }}")
    assert run(*asked).code == 0
    schema = pq.read_schema("out/results.parquet")
    assert [schema.field(name).type for name in ("text", "stars", "day")] == [pa.string(), pa.int64(), pa.date32()]
    assert [(row["stars"], row["day"]) for row in results()] == [(5, date(2026, 5, 1)), (None, None)]
    before = results()
    assert run(*asked).code == 0
    assert results() == before
