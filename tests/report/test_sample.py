"""The rows in the table of the report, and how much of each is shown."""

import datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from batchrun.report.sample import cut, pick, read_sample


def test_few_rows_are_all_shown() -> None:
    """They keep their order."""
    assert pick(3, [1], most=5) == [0, 1, 2]


def test_a_sample_of_many_rows_is_reproducible_and_has_the_failed_rows() -> None:
    """A second report shows the same rows."""
    chosen = pick(1_000_000, [7, 999_999], most=50)
    assert chosen == pick(1_000_000, [7, 999_999], most=50)
    assert len(set(chosen)) == 50
    assert {7, 999_999} <= set(chosen)
    assert chosen == sorted(chosen)


def test_rows_are_read_at_their_positions(write_results: Any) -> None:
    """Also if there are many batches between them."""
    path = write_results(*({"response": f"answer {number}"} for number in range(9_000)))
    sample = read_sample(path, [4_500, 8_999], 10_000_000)
    row, response = sample.columns.index("row"), sample.columns.index("response")
    assert not sample.is_all
    assert len(sample.rows) == 2_000
    assert all(cells[response] == f"answer {cells[row]}" for cells in sample.rows)
    assert {4_500, 8_999} <= {cells[row] for cells in sample.rows}


def test_long_texts_are_cut_until_the_rows_fit_and_state_their_length(write_results: Any) -> None:
    """The length is that of the whole text, even if it is cut twice."""
    path = write_results(*({"response": "é" * 5_000} for _ in range(100)))
    sample = read_sample(path, [], 100_000)
    assert len(orjson.dumps(sample.rows)) <= 101_000
    assert len(sample.rows) == 100
    response = sample.rows[0][sample.columns.index("response")]
    assert response.startswith("éé")
    assert response.endswith("… (of 5,000 characters)")


def test_if_cut_texts_are_still_too_large_fewer_rows_are_shown(write_results: Any) -> None:
    """The table is then labelled as a sample."""
    path = write_results(*({} for _ in range(200)))
    sample = read_sample(path, [], 8_000)
    assert 0 < len(sample.rows) < 200
    assert not sample.is_all


def test_values_of_every_type_except_bytes_are_shown(write_results: Any) -> None:
    """Columns of the input can have any type."""
    extra = {
        "when": pa.timestamp("ns"),
        "price": pa.decimal128(6, 2),
        "tags": pa.list_(pa.string()),
        "nested": pa.struct([("at", pa.timestamp("ns"))]),
        "big": pa.int64(),
        "photo": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    row = {
        "when": datetime.datetime(2026, 1, 2),
        "price": Decimal("1.50"),
        "tags": ["a", "<b>"],
        "nested": {"at": datetime.datetime(2026, 1, 2)},
        "big": 2**60,
        "photo": {"bytes": b"\xff", "path": "a.png"},
    }
    sample = read_sample(write_results(row, extra=extra), [], 10_000)
    shown = dict(zip(sample.columns, sample.rows[0], strict=True))
    assert "photo" not in shown
    assert (shown["price"], shown["tags"], shown["big"]) == ("1.50", '["a","<b>"]', str(2**60))
    assert shown["when"].startswith("2026-01-02")


def test_with_too_many_columns_only_columns_of_the_input_are_left_out(write_results: Any) -> None:
    """The columns of the answers are always shown."""
    from batchrun.report.sample import _shown

    names = [*(f"c{number}" for number in range(500)), "model", "response"]
    assert _shown(names)[-2:] == ["model", "response"]
    assert len(_shown(names)) == 60


def test_only_a_text_that_is_too_long_is_cut() -> None:
    """A cut text states its length."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… (of 4 characters)"
