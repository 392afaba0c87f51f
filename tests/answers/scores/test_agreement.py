"""Majority labels, and Krippendorff's alpha."""

import random
from typing import Any

import pytest

from batchrun.answers.scores.agreement import MOST_LABELS, IntervalAlpha, NominalAlpha, vote_of


@pytest.mark.parametrize(
    ("labels", "label", "share"),
    [
        ("", None, None),
        ("a", "a", 1),
        ("aab", "a", 2 / 3),
        ("ab", None, 1 / 2),
        ("aabbc", None, 2 / 5),
        ("a--", "a", 1),
        ("--", None, None),
    ],
)
def test_the_majority_wins_and_a_tie_has_no_winner(labels: str, label: str | None, share: float | None) -> None:
    """An answer without a label (-) has no vote."""
    found = vote_of(None if each == "-" else each for each in labels)
    assert found == (label, share)


def units(*observers: str) -> list[list[str]]:
    """Return the values of each unit; `.` is missing."""
    return [[each for each in unit if each != "."] for unit in zip(*observers, strict=True)]


KRIPPENDORFF = units("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
"""Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 4 observers, 12 units."""

WIKIPEDIA = units(".....34121133.3", "1.213343.......", "..21344.21133.4")
"""Source: the example of the article "Krippendorff's alpha": 3 coders, 15 units."""


@pytest.mark.parametrize(
    ("data", "nominal", "interval"),
    [
        (KRIPPENDORFF, 0.743, 0.849),
        (WIKIPEDIA, 0.691, 0.811),
        (units("0100000010", "1110010000"), 0.095, 0.095),  # the same paper, section A: binary data
    ],
)
def test_alpha_has_the_published_values(data: list[list[str]], nominal: float, interval: float) -> None:
    """To the digits that were published."""
    by_label, by_number = NominalAlpha(), IntervalAlpha()
    for labels in data:
        by_label.add(list(labels))
        by_number.add([1e6 + float(label) for label in labels])
    assert by_label.alpha == pytest.approx(nominal, abs=5e-4)
    assert by_number.alpha == pytest.approx(interval, abs=5e-4)


def test_alpha_of_letters_has_the_published_value() -> None:
    """Section B of the same paper: nominal data, two observers."""
    alpha = NominalAlpha()
    for labels in units("aabbdcccedda", "babbbccceddd"):
        alpha.add(list(labels))
    assert alpha.alpha == pytest.approx(0.692, abs=5e-4)


@pytest.mark.parametrize("kind", [NominalAlpha, IntervalAlpha])
def test_alpha_is_about_zero_where_labels_are_drawn_by_chance(kind: Any) -> None:
    """And 1 where all agree."""
    chance, same = kind(), kind()
    rng = random.Random(1)
    for _ in range(5_000):
        labels = [rng.randrange(3) for _ in range(4)]
        chance.add(labels)
        same.add(labels[:1] * 4)
    assert abs(chance.alpha) < 0.02
    assert same.alpha == 1


@pytest.mark.parametrize("kind", [NominalAlpha, IntervalAlpha])
def test_alpha_needs_labels_that_vary(kind: Any) -> None:
    """One label for everything says nothing about agreement; neither do prompts with one answer."""
    alpha = kind()
    assert alpha.alpha is None
    for labels in ([2, 2], [2, 2, 2], [1]):
        alpha.add(labels)
    assert alpha.alpha is None


def test_free_texts_have_no_alpha() -> None:
    """Otherwise they would fill the memory."""
    alpha = NominalAlpha()
    for number in range(MOST_LABELS // 2 + 2):
        alpha.add([2 * number, 2 * number + 1])
    assert alpha.alpha is None
