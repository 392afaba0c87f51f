"""Distributions of numbers in bounded memory."""

import pyarrow as pa
import pytest

from batchrun.report.distribution import Distribution


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)])
def test_quantiles_are_within_a_quarter_of_a_percent(share: float, value: float) -> None:
    """For any number of values, with little memory."""
    part = Distribution()
    part.add(pa.array(range(1, 101)))
    assert part.quantile(share) == pytest.approx(value, rel=0.0025)


def test_nulls_are_ignored_and_zero_is_the_minimum() -> None:
    """A token count that the server did not state is not zero."""
    part = Distribution()
    part.add(pa.array([None, 0, 0, 0, 7]))
    assert part.count == 4
    assert part.quantile(0.5) == 0
    assert part.quantile(1.0) == pytest.approx(7, rel=0.0025)


def test_a_histogram_of_integers_has_no_gaps() -> None:
    """Each integer occurs once, so columns of equal width on a logarithmic scale grow evenly."""
    part = Distribution(is_whole=True)
    part.add(pa.array(range(10, 101)))
    low, high = part.spread() or (0, 0)
    counts = part.columns([low + (high - low) * number / 20 for number in range(21)])
    assert sum(counts) == pytest.approx(91)
    assert counts == sorted(counts)


def test_without_values_there_are_no_quantiles() -> None:
    """There is no histogram either."""
    assert Distribution().quantile(0.5) == 0
    assert Distribution().spread() is None


def test_negative_numbers_have_quantiles_and_columns() -> None:
    """An answer can be any number."""
    part = Distribution()
    part.add(pa.array([-100, -10, 0, 10, 100]))
    assert [part.quantile(share) for share in (0.2, 0.4, 0.6, 0.8, 1.0)] == pytest.approx(
        [-100, -10, 0, 10, 100], rel=0.0025
    )
    assert part.linear_columns([-200.0, -50.0, 100.0, 250.0]) == pytest.approx([1, 3.5, 0.5], abs=0.51)
    assert sum(part.linear_columns([-5.0, 0.0, 5.0])) == 5, "outer values count in the outer columns"


def test_two_distributions_can_be_added_up() -> None:
    """Those of all models make that of the run."""
    both = Distribution()
    for values in ([1, 2], [0, -3]):
        part = Distribution()
        part.add(pa.array(values))
        both.update(part)
    assert both.count == 4
    assert (both.quantile(0), both.quantile(1)) == pytest.approx((-3, 2), rel=0.0025)
