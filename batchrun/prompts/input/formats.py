"""Format of a file → what reads its rows."""

from collections.abc import Callable
from typing import BinaryIO

from batchrun.prompts.input.csv_file import csv_rows
from batchrun.prompts.input.first_run import run_rows
from batchrun.prompts.input.json_array import json_rows
from batchrun.prompts.input.json_lines import jsonl_rows
from batchrun.prompts.input.parquet_file import parquet_rows
from batchrun.prompts.input.parts import Reading, Rows
from batchrun.prompts.input.text_file import text_rows
from batchrun.prompts.input.xlsx_file import xlsx_rows

ROWS: dict[str, Callable[[BinaryIO, Reading], Rows]] = {
    "jsonl": jsonl_rows,
    "csv": csv_rows,
    "parquet": parquet_rows,
    "run": run_rows,
    "json": json_rows,
    "txt": text_rows,
    "xlsx": xlsx_rows,
}
