"""Ranges are added, scaled and bounded end by end."""

import pytest

from batchrun.engine.preflight.ranges import ALIKE, NOTHING, Range


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, Range(10, 10, 10)), (0.5, Range(5, 10, 15)), (3.0, Range(1, 10, 40))],
)
def test_a_range_around_a_number_is_never_below_a_tenth_of_it(share: float, expected: Range) -> None:
    assert Range.around(10, share) == pytest.approx(expected)


def test_ranges_are_combined_end_by_end() -> None:
    one = Range(1, 2, 4)
    assert one.times(3) == (3, 6, 12)
    assert one.plus(Range(10, 20, 30)) == (11, 22, 34)
    assert one.at_most(3) == (1, 2, 3)
    assert one.plus(NOTHING) == one
    assert ALIKE.times(7) == (7, 7, 7)
