"""The rows of a sheet of an Excel workbook, with the types of its cells.

openpyxl hands out row after row, so that memory is that of the texts of the workbook; a library that is faster
(python-calamine) holds the whole sheet first.
"""

import warnings
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from batchrun.errors import InputError
from batchrun.prompts.input.diagnosis import other_kind
from batchrun.prompts.input.files import InputFile, nearest
from batchrun.prompts.input.parts import Part, Reading, Rows, refuse_twins
from batchrun.records import Row

_BROKEN = (zipfile.BadZipFile, KeyError, ValueError, TypeError, SyntaxError)
"""What openpyxl raises where a file is not a workbook, or is damaged; errors of XML are syntax errors."""


def xlsx_rows(raw: BinaryIO, reading: Reading) -> Rows:
    """Yield the rows below the header: numbers, booleans, dates and times as such, empty cells and errors as null.

    Rows without any value are passed over, and so are columns without a name.
    """
    file = reading.file
    lines = _lines(raw, file)
    names = next((values for _, values, _ in lines), [])
    columns = [(place, str(name)) for place, name in enumerate(names) if name is not None]
    refuse_twins([name for _, name in columns], file)
    number, rows, bytes_read = reading.first, list[Row](), 0
    for line, values, share in lines:
        bytes_read = int(file.size_bytes * share)
        if number >= reading.wanted:
            cells = {name: values[place] if place < len(values) else None for place, name in columns}
            rows.append(Row(number, cells, f"{file.name}: row {line}", None, file.folder))
        number += 1
        if (number - reading.first) % reading.batch_rows == 0:
            yield Part(rows, number, bytes_read)
            rows = []
    yield Part(rows, number, file.size_bytes)


def _lines(raw: BinaryIO, file: InputFile) -> Iterator[tuple[int, list[Any], float]]:
    """Yield each row that has a value: its number as Excel shows it, its values, and the share of the sheet so far."""
    try:
        sheet = _sheet(raw, file)
        last = sheet.max_row or 0
        sheet.reset_dimensions()  # some programs write wrong ones, and rows would be cut
        for line, cells in enumerate(sheet.iter_rows(), 1):
            values = [_value(cell) for cell in cells]
            if any(value is not None for value in values):
                yield line, values, min(1.0, line / last) if last else 0.0
    except _BROKEN as problem:
        raw.seek(0)
        what = other_kind(raw.read(1 << 12), may_be_text=False)
        is_workbook = what is None or ".xlsx" in what
        reason = f"is not an Excel workbook, or is damaged ({problem}); save it again" if is_workbook else what
        raise InputError(f"{file.name}: {reason}") from problem


def _sheet(raw: BinaryIO, file: InputFile) -> Any:
    """Return the sheet that a file names, the first one if it names none."""
    try:
        import openpyxl  # an extra
    except ImportError as problem:
        raise InputError(f"{file.name}: needs openpyxl ({problem}); install it: pip install 'openpyxl>=3.1'") from None
    warnings.filterwarnings("ignore", module="openpyxl")  # about parts of Excel that have no values
    book = openpyxl.load_workbook(raw, read_only=True, data_only=True)
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets:
        raise InputError(f"{file.name}: has no sheet with cells")
    if not file.sheet:
        return next(iter(sheets.values()))
    if file.sheet not in sheets:
        known = f"its sheets are {', '.join(sheets)}"
        raise InputError(f"{file.name}: has no sheet {file.sheet}{nearest(file.sheet, sheets)}; {known}")
    return sheets[file.sheet]


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, datetime):
        from openpyxl.styles.numbers import is_datetime

        return value.date() if is_datetime(cell.number_format) == "date" else value
    return None if value == "" or getattr(cell, "data_type", "n") == "e" else value
