"""The numbers of a run as texts for people."""

import pytest

from batchrun.records import Figures, ModelTotals, RowCount, summed
from batchrun.report.texts import counted, duration_text, left_text, line_text, rows_text, short_count, state_text

FIGURES = Figures(
    done=1_200,
    total=RowCount(5_000, is_exact=True),
    failed=0,
    throttled=0,
    tokens=45_600,
    in_flight=48,
    limit=50,
    waiting=0,
    pause=None,
)


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


def test_the_state_shows_waiting_throttled_and_pause_only_if_there_are_any() -> None:
    """The number of failures is always shown, even 0."""
    assert state_text(FIGURES) == "48/50 in flight · 0 failed · 45.6k tokens"
    troubled = FIGURES._replace(waiting=1_234, throttled=9_500, failed=3, pause="The engine is currently overloaded")
    assert state_text(troubled) == (
        "48/50 in flight · 1,234 waiting · 9.50k throttled · 3 failed · 45.6k tokens · "
        "PAUSED: The engine is currently overloaded"
    )


@pytest.mark.parametrize(
    ("figures", "done_before", "elapsed_s", "starts", "ends"),
    [
        (FIGURES, 0, 10.0, "1,200/5,000 rows · 120.0/s · ", " · about 31.7 s left"),
        (
            FIGURES._replace(total=RowCount(5_000, is_exact=False)),
            0,
            10.0,
            "1,200/about 5,000 rows · 120.0/s · ",
            " · about 31.7 s left",
        ),
        (FIGURES, 1_000, 10.0, "1,200/5,000 rows · 20.0/s · ", " · about 3 min 10 s left"),
        (FIGURES._replace(total=None), 0, 10.0, "1,200/? rows · 120.0/s · ", "tokens"),
        (FIGURES._replace(done=5_000), 0, 10.0, "5,000/5,000 rows · 500.0/s · ", "tokens"),
        (FIGURES, 1_200, 10.0, "1,200/5,000 rows · 0.0/s · ", "tokens"),
        (FIGURES, 0, 0.0, "1,200/5,000 rows · 0.0/s · ", "tokens"),
    ],
)
def test_a_line_has_the_rows_the_rate_of_this_execution_and_the_time_left(
    figures: Figures, done_before: int, elapsed_s: float, starts: str, ends: str
) -> None:
    """Rows of earlier executions are not a part of the rate. With a rate of 0 the time left is unknown."""
    line = line_text(figures, done_before, elapsed_s)
    assert line.startswith(starts)
    assert line.endswith(ends)


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
