"""Which rows the report's table shows, and how much of them."""

import datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from batchrun.report.sample import cut, pick, read_sample


def test_few_rows_are_all_shown() -> None:
    """In their order."""
    assert pick(3, [1], most=5) == [0, 1, 2]


def test_many_rows_are_sampled_the_same_way_each_time_and_keep_what_failed() -> None:
    """A report that is made again shows the same rows."""
    chosen = pick(1_000_000, [7, 999_999], most=50)
    assert chosen == pick(1_000_000, [7, 999_999], most=50)
    assert len(set(chosen)) == 50
    assert {7, 999_999} <= set(chosen)
    assert chosen == sorted(chosen)


def test_rows_are_read_at_their_positions(write_results: Any) -> None:
    """Also where they are many batches apart."""
    path = write_results(*({"response": f"answer {number}"} for number in range(9_000)))
    sample = read_sample(path, [4_500, 8_999], 10_000_000)
    row, response = sample.columns.index("row"), sample.columns.index("response")
    assert not sample.is_all
    assert len(sample.rows) == 2_000
    assert all(cells[response] == f"answer {cells[row]}" for cells in sample.rows)
    assert {4_500, 8_999} <= {cells[row] for cells in sample.rows}


def test_long_texts_are_cut_until_the_rows_fit_and_say_how_long_they_were(write_results: Any) -> None:
    """Also after they were cut twice."""
    path = write_results(*({"response": "é" * 5_000} for _ in range(100)))
    sample = read_sample(path, [], 100_000)
    assert len(orjson.dumps(sample.rows)) <= 101_000
    assert len(sample.rows) == 100
    response = sample.rows[0][sample.columns.index("response")]
    assert response.startswith("éé")
    assert response.endswith("… (of 5,000 characters)")


def test_where_cutting_does_not_do_fewer_rows_are_shown(write_results: Any) -> None:
    """And the sample says that it is one."""
    path = write_results(*({} for _ in range(200)))
    sample = read_sample(path, [], 8_000)
    assert 0 < len(sample.rows) < 200
    assert not sample.is_all


def test_values_of_every_kind_are_shown_but_bytes(write_results: Any) -> None:
    """Whatever the input had in its columns."""
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


def test_of_very_many_columns_the_answer_s_own_are_all_shown(write_results: Any) -> None:
    """The input's make way."""
    from batchrun.report.sample import _shown

    names = [*(f"c{number}" for number in range(500)), "model", "response"]
    assert _shown(names)[-2:] == ["model", "response"]
    assert len(_shown(names)) == 60


def test_a_text_is_cut_only_where_it_is_too_long() -> None:
    """And says so."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… (of 4 characters)"
