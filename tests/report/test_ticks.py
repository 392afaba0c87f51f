"""The ticks of axes are round numbers."""

import pytest

from batchrun.report.ticks import count_ticks, log_ticks, number_text, time_text


@pytest.mark.parametrize("top", [0.003, 0.7, 1, 3, 4, 9, 60, 101, 999, 1_000_000, 7.3e9])
def test_counts_have_a_few_ticks_that_reach_the_top(top: float) -> None:
    """The last tick is not far above the largest value; otherwise most of the plot would be empty."""
    ticks = count_ticks(top)
    assert ticks[0] == 0
    assert top * 0.99 <= ticks[-1] <= 2 * top
    assert 2 <= len(ticks) <= 6


def test_zero_has_ticks_too() -> None:
    """A plot of zeros is drawn."""
    assert count_ticks(0) == [0, 1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.5, "0.5 s"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (5_400, "1 h 30"),
        (7_200, "2 h"),
        (216_000, "2.5 d"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    """They are labels of an axis."""
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (4.25, "4.25"),
        (100, "100"),
        (1_250, "1,250"),
        (1_200_000, "1.2M"),
        (0.0001, "1.0e-04"),
        (-12.5, "-12.5"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """A plot has no room for more than three digits."""
    assert number_text(value) == text


@pytest.mark.parametrize(("low", "high", "marks"), [(-1, 0.01, 9), (0, 3, 10), (-3, 3, 7), (0.41, 0.42, 1)])
def test_logarithmic_axes_have_ticks_at_round_numbers(low: float, high: float, marks: int) -> None:
    """With many decades, each has fewer ticks; there is always at least one."""
    ticks = log_ticks(low, high)
    assert len(ticks) >= 1
    assert all(low <= tick <= high for tick in ticks)
    assert len(ticks) <= 12
