"""How many rows a run has, and how many are left."""

from typing import Any

import pytest

from batchrun.prompts.count import input_rows, left_s, output_rows, rows_left
from batchrun.records import RowCount


def exact(rows: int) -> RowCount:
    return RowCount(rows, is_exact=True)


def about(rows: int) -> RowCount:
    return RowCount(rows, is_exact=False)


@pytest.mark.parametrize(
    ("read", "fraction", "settings", "count"),
    [
        pytest.param(10, 1.0, {"is_complete": True}, exact(10), id="all is read"),
        pytest.param(10, None, {"is_complete": True}, exact(10), id="standard input at its end"),
        pytest.param(0, 1.0, {"is_complete": True}, exact(0), id="an empty input"),
        pytest.param(10, 0.25, {}, about(40), id="a quarter is read"),
        pytest.param(10, None, {}, None, id="standard input before its end"),
        pytest.param(10, None, {"limit": 20}, None, id="standard input may end before the limit"),
        pytest.param(0, 0.0, {}, None, id="nothing is read"),
        pytest.param(256, 0.00128, {"limit": 2_000}, about(2_000), id="a limit far below the end"),
        pytest.param(256, 0.5, {"limit": 2_000}, about(512), id="an input shorter than the limit"),
        pytest.param(
            300, 1.0, {"is_complete": True, "limit": 2_000}, exact(300), id="shorter than the limit, all read"
        ),
        pytest.param(2_000, 0.01, {"is_complete": True, "limit": 2_000}, exact(2_000), id="the limit is reached"),
        pytest.param(10, 1.0, {}, about(10), id="all bytes are read, the last row is not"),
    ],
)
def test_input_rows_are_exact_at_the_end_and_guessed_before(
    read: int, fraction: float | None, settings: dict[str, Any], count: RowCount | None
) -> None:
    """The limit applies to both."""
    assert input_rows(read, fraction, **{"is_complete": False} | settings) == count


@pytest.mark.parametrize(
    ("inputs", "per_row", "settled", "count"),
    [
        (exact(10), 1, 0, exact(10)),
        (exact(10), 6, 10, exact(60)),
        (about(3), 4, 0, about(12)),
        (about(3), 4, 15, about(15)),
        (None, 4, 15, None),
    ],
)
def test_output_rows_are_one_for_each_model_and_sample(
    inputs: RowCount | None, per_row: int, settled: int, count: RowCount | None
) -> None:
    """A guess is never below what is settled already."""
    assert output_rows(inputs, per_row, settled) == count


@pytest.mark.parametrize(
    ("total", "settled", "left"),
    [(exact(10), 4, exact(6)), (about(10), 4, about(6)), (about(10), 12, about(0)), (None, 4, None)],
)
def test_rows_left_are_those_that_are_not_settled(total: RowCount | None, settled: int, left: RowCount | None) -> None:
    """What is left of a guess is a guess."""
    assert rows_left(total, settled) == left


@pytest.mark.parametrize(
    ("total", "rate_per_s", "is_paused", "seconds"),
    [
        (exact(10), 2.0, False, 3.0),
        (about(10), 2.0, False, 3.0),
        (exact(10), 2.0, True, None),
        (exact(10), 0.0, False, None),
        (exact(10), None, False, None),
        (exact(4), 2.0, False, None),
        (None, 2.0, False, None),
    ],
)
def test_the_time_left_is_that_of_the_rows_left_at_this_rate(
    total: RowCount | None, rate_per_s: float | None, is_paused: bool, seconds: float | None
) -> None:
    assert left_s(total, 4, rate_per_s, is_paused=is_paused) == seconds
