"""What can be a row of the checkpoint, and what cannot."""

from typing import Any

import pytest
from harness.checkpoints import answer, failure, requests

from batchrun.checkpoint.checks import are_outcomes, is_answer, is_outcome
from batchrun.checkpoint.tables import OUTCOME_COLUMNS, columns_of

(REQUEST,) = requests("a")
ROW = (*columns_of(0, answer(REQUEST)), None)


def changed(name: str, value: Any) -> tuple[Any, ...]:
    return tuple(value if column == name else old for column, old in zip(OUTCOME_COLUMNS, ROW, strict=True))


@pytest.mark.parametrize("outcome", [answer(REQUEST), failure(REQUEST), answer(REQUEST, latency_s=1)])
def test_what_a_run_writes_is_an_outcome(outcome: Any) -> None:
    row = (*columns_of(0, outcome), None)
    assert is_outcome(row)
    assert are_outcomes(zip(row, row, strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "1"),
        ("key", "text"),
        ("kind", 5),
        ("attempts", "2"),
        ("latency_s", "fast"),
        ("prompt_tokens", 1 << 31),
        ("prompt_tokens", -1),
        ("body", "text"),
    ],
)
def test_another_type_or_a_count_out_of_range_is_not_an_outcome(name: str, value: Any) -> None:
    row = changed(name, value)
    assert not is_outcome(row)
    assert not are_outcomes(zip(ROW, row, strict=True))


@pytest.mark.parametrize(("name", "value"), [("id", -1), ("key", b"short"), ("finished_at_ms", -1), ("attempts", None)])
def test_a_row_that_is_recovered_is_checked_for_its_ranges_too(name: str, value: Any) -> None:
    assert not is_outcome(changed(name, value))


def test_a_row_of_another_width_is_not_an_outcome() -> None:
    assert not is_outcome(ROW[:-1])


def test_no_rows_are_sound() -> None:
    assert are_outcomes([() for _ in OUTCOME_COLUMNS])


@pytest.mark.parametrize(
    ("body", "expected"), [(b'{"id": "x"}', True), (b"[]", False), (b"{", False), (b"", False), (None, False)]
)
def test_an_answer_is_a_json_object(body: bytes | None, expected: bool) -> None:
    assert is_answer(body) is expected
