"""Differences between two sets of scores of the same prompts."""

import random
from collections.abc import Callable

import pytest

from batchrun.answers.scores.pairs import PairedScores


def paired(*pairs: tuple[float, float]) -> PairedScores:
    found = PairedScores()
    for pair in pairs:
        found.add(*pair)
    return found


def test_wins_losses_and_ties_are_counted() -> None:
    """B wins where its score is higher."""
    found = paired((0, 1), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    assert (found.prompts, found.wins, found.losses, found.ties) == (5, 2, 1, 2)
    assert found.means == pytest.approx((0.5, 0.7))
    assert found.difference == pytest.approx(0.2)


def test_the_interval_of_right_and_wrong_is_that_of_bonett_and_price() -> None:
    """Computed by hand: 10 prompts, 5 won by B, 1 by A. p12 = 6/12, p21 = 2/12, both with one prompt more."""
    found = paired(*[(0, 1)] * 5, (1, 0), *[(1, 1)] * 4)
    assert found.interval == pytest.approx((1 / 3 - 0.42172, 1 / 3 + 0.42172), abs=1e-4)


def test_the_interval_of_other_scores_is_students() -> None:
    """Computed by hand: differences 1, 2, 3; t = 4.3027 with two degrees of freedom."""
    found = paired((1, 2), (1, 3), (1, 4))
    assert found.interval == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)


def test_too_few_prompts_have_no_interval() -> None:
    """Of right and wrong a single prompt has one, which says that nothing is known."""
    assert paired().interval is None
    assert paired().difference is None
    assert paired((3, 4)).interval is None
    assert paired((3, 4), (4, 5)).interval is None  # no difference varies
    low, high = paired((1, 1)).interval or (0, 0)
    assert low < -0.9 < 0.9 < high


def test_equal_scores_do_not_prove_that_nothing_differs() -> None:
    """The interval of 100 equal pairs is short, and not empty."""
    low, high = paired(*[(1, 1)] * 100).interval or (0, 0)
    assert -0.05 < low < -0.01 < 0.01 < high < 0.05


def right_or_wrong(rng: random.Random) -> tuple[float, float]:
    """Return two answers to a prompt that may be easy or hard: right with probabilities 0.5 and 0.6."""
    ease, other = rng.random(), rng.random()
    return float(ease < 0.5), float((ease if rng.random() < 0.7 else other) < 0.6)


def ratings(rng: random.Random) -> tuple[float, float]:
    """Return two ratings from 1 to 5 of about the same quality."""
    quality = rng.gauss(3, 1)
    a, b = (float(min(5, max(1, round(quality + rng.gauss(0, 0.7))))) for _ in range(2))
    return a, b


@pytest.mark.parametrize(("draw", "truth"), [(right_or_wrong, 0.1), (ratings, 0.0)])
def test_the_interval_covers_the_truth_in_95_of_100_runs(
    draw: Callable[[random.Random], tuple[float, float]], truth: float
) -> None:
    """A simulation with a fixed seed; the interval of right and wrong covers a little more."""
    rng = random.Random(7)
    intervals = [paired(*(draw(rng) for _ in range(60))).interval for _ in range(1_000)]
    covered = sum(each is not None and each.low <= truth <= each.high for each in intervals)
    assert 935 <= covered <= 980
