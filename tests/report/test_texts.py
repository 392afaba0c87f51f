"""The numbers of a run as texts for people."""

import pytest

from batchrun.records import ModelTotals, RowCount, summed
from batchrun.report.texts import counted, duration_text, estimated, left_text, rows_text, short_count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999, "999"),
        (1_000, "1.00k"),
        (9_994, "9.99k"),
        (9_995, "10.0k"),
        (9_999, "10.0k"),
        (12_345, "12.3k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (99_999, "100k"),
        (123_456, "123k"),
        (4_560_000, "4.56M"),
        (7_890_000_000, "7.89G"),
    ],
)
def test_a_count_has_at_most_five_characters(count: int, text: str) -> None:
    """Also if rounding adds a digit."""
    assert short_count(count) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.21, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (25_500, "7 h 05 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_a_duration_is_written_in_at_most_two_units(seconds: float, text: str) -> None:
    """They are the two largest units."""
    assert duration_text(seconds) == text


def test_an_estimate_is_marked() -> None:
    """An exact number has no mark."""
    assert rows_text(RowCount(2_000, is_exact=True)) == "2,000"
    assert rows_text(RowCount(2_000, is_exact=False)) == "about 2,000"


def test_totals_are_summed_over_models() -> None:
    """Each column is summed; without models the totals are zero."""
    assert summed([]) == ModelTotals()
    assert summed([ModelTotals(2, 1, 1, 3), ModelTotals(5, 5, 0, 5, prompt_tokens=7)]) == ModelTotals(
        7, 6, 1, 8, prompt_tokens=7
    )


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2_000, "2,000 rows")])
def test_a_count_has_its_noun_in_the_right_number(count: int, text: str) -> None:
    assert counted(count, "row") == text


def test_a_noun_can_bring_its_own_plural() -> None:
    assert (counted(1, "reply", "replies"), counted(2, "reply", "replies")) == ("1 reply", "2 replies")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (RowCount(1, is_exact=True), "1 row is left"),
        (RowCount(512, is_exact=True), "512 rows are left"),
        (RowCount(2_000, is_exact=False), "about 2,000 rows are left"),
    ],
)
def test_what_is_left_is_a_sentence(count: RowCount, text: str) -> None:
    assert left_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0.0, "0 rows"), (1.0, "1 row"), (2.4, "about 2 rows"), (0.7, "about 1 row"), (1e6, "1,000,000 rows")],
)
def test_only_a_count_that_was_estimated_is_marked(count: float, text: str) -> None:
    assert estimated(count, "row") == text
