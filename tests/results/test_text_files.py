"""Rows as JSON Lines and as CSV."""

import csv
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchrun.results.text_files import write_csv, write_jsonl

MOMENT = datetime(2025, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

VALUES = [
    (pa.array([1]), 1, "1"),
    (pa.array([2**63], pa.uint64()), 2**63, str(2**63)),
    (pa.array([0.1]), 0.1, "0.1"),
    (pa.array([0.5], pa.float16()), 0.5, "0.5"),
    (pa.array([float("nan")]), None, "nan"),
    (pa.array([True]), True, "true"),
    (pa.array(['a "b"\n']), 'a "b"\n', 'a "b"\n'),
    (pa.array(['"']), '"', '"'),
    (pa.array([b"\xff\x00"]), "/wA=", "/wA="),
    (pa.array([["a", None]]), ["a", None], '["a",null]'),
    (pa.array([{"a": b"x"}]), {"a": "eA=="}, '{"a":"eA=="}'),
    (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), [["k", 1]], '[["k",1]]'),
    (pa.array([MOMENT]), MOMENT.isoformat(), MOMENT.isoformat()),
    (pa.array([1_000_000_001], pa.timestamp("ns")), "1970-01-01T00:00:01", "1970-01-01T00:00:01"),
    (pa.array([date(2025, 1, 2)]), "2025-01-02", "2025-01-02"),
    (pa.array([2**31 - 1], pa.date32()), None, ""),
    (pa.array([time(1, 2)]), "01:02:00", "01:02:00"),
    (pa.array([timedelta(hours=1)]), "1:00:00", "1:00:00"),
    (pa.array([Decimal("1.50")]), "1.50", "1.50"),
    (pa.array(["a"]).dictionary_encode(), "a", "a"),
    (pa.array(["a"], pa.large_string()), "a", "a"),
    (pa.array([None], pa.null()), None, ""),
    (pa.array([None], pa.int64()), None, ""),
]


@pytest.mark.parametrize(("column", "value", "text"), VALUES, ids=[str(each[0].type) for each in VALUES])
def test_every_type_can_be_written(tmp_path: Path, column: pa.Array, value: Any, text: str) -> None:
    """The value of an input column of any type is in the file."""
    batch = pa.record_batch({"x": column, "y": pa.array([1])})
    write_jsonl(tmp_path / "a.jsonl", [batch])
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {"x": value, "y": 1}
    write_csv(tmp_path / "a.csv", batch.schema, [batch])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["x", "y"], [text, "1"]]


def test_each_row_is_one_line(tmp_path: Path) -> None:
    """Also across several batches; without rows a CSV file has only its header."""
    batches = [pa.record_batch({"x": [1, 2]}), pa.record_batch({"x": [3]})]
    write_jsonl(tmp_path / "a.jsonl", batches)
    write_csv(tmp_path / "a.csv", batches[0].schema, batches)
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"x":1}\n{"x":2}\n{"x":3}\n'
    assert (tmp_path / "a.csv").read_bytes() == b'"x"\n1\n2\n3\n'
    write_jsonl(tmp_path / "a.jsonl", [])
    write_csv(tmp_path / "a.csv", batches[0].schema, [])
    assert (tmp_path / "a.jsonl").read_bytes() == b""
    assert (tmp_path / "a.csv").read_bytes() == b'"x"\n'


def test_null_differs_from_an_empty_text(tmp_path: Path) -> None:
    """In CSV, an empty text has quotes."""
    batch = pa.record_batch({"x": ["", None], "y": [1, 2]})
    write_csv(tmp_path / "a.csv", batch.schema, [batch])
    assert (tmp_path / "a.csv").read_bytes() == b'"x","y"\n"",1\n,2\n'
