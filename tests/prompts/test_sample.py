"""Rows chosen by lot: the same on every machine, each as likely as every other, in bounded memory."""

from collections import Counter

import pyarrow as pa
import pytest

from batchrun.prompts.sample import Draw, Part, both, key_of, rank, ranks, within


def drawn(size: int, count: int, seed: int = 0) -> list[int]:
    draw = Draw(size, seed)
    draw.add_all(count)
    return list(draw.drawn())


def test_a_seed_draws_the_same_rows_in_every_release() -> None:
    """Otherwise a pilot would be bought again after an update."""
    assert drawn(5, 1_000) == [148, 869, 876, 959, 974]
    assert [rank(row, key_of("order", 0)) >> 48 for row in range(3)] == [5252, 12627, 21435]


def test_the_ranks_of_many_rows_are_those_of_each() -> None:
    rows = [0, 1, 2, 1 << 16, 10**9, 2**63]
    for key in (0, 1, key_of("sample", 7), 2**64 - 1):
        assert ranks(pa.array(rows, pa.uint64()), key).to_pylist() == [rank(row, key) for row in rows]


def test_every_row_is_as_likely_as_every_other() -> None:
    """400 samples of 50 of 1,000 rows, each row in about 20: chi-squared, with 999 degrees of freedom."""
    counts = Counter(row for seed in range(400) for row in drawn(50, 1_000, seed))
    expected = 400 * 50 / 1_000
    spread = sum((counts[row] - expected) ** 2 / (expected * 0.95) for row in range(1_000))
    assert 999 - 5 * 45 < spread < 999 + 5 * 45  # five standard deviations, each the root of 2 × 999
    halves = sum(count for row, count in counts.items() if row < 500)
    assert abs(halves - 10_000) < 5 * 70


def test_a_larger_sample_has_all_rows_of_a_smaller_one() -> None:
    """So that a pilot can grow, and nothing is bought twice."""
    samples = [set(drawn(size, 300_000)) for size in (100, 1_000, 100_000)]
    assert [len(each) for each in samples] == [100, 1_000, 100_000]
    assert samples[0] < samples[1] < samples[2]


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_all_rows_are_drawn_where_there_are_no_more(count: int) -> None:
    assert drawn(10, count) == list(range(count))


def test_rows_that_are_added_in_pieces_are_drawn_as_if_they_came_together() -> None:
    draw = Draw(100, 3)
    for first in range(0, 200_000, 999):
        draw.add(range(first, min(first + 999, 200_000)))
    assert list(draw.drawn()) == drawn(100, 200_000, 3)


@pytest.mark.parametrize("parts", [1, 3, 32])
def test_parts_share_the_rows_about_evenly_and_each_row_is_in_one(parts: int) -> None:
    count = 150_000
    shares = [
        [row for first in range(0, count, 256) for row in numbers(first, min(first + 256, count))]
        for numbers in (Part(number, parts, 5).numbers for number in range(parts))
    ]
    assert sorted(row for share in shares for row in share) == list(range(count))
    assert all(share == sorted(share) for share in shares)
    assert all(abs(len(share) - count / parts) < 6 * (count / parts) ** 0.5 for share in shares)


def test_parts_follow_one_another_in_the_random_order() -> None:
    """So that the order of the whole is the same in however many parts it is read."""
    key = key_of("order", 2)
    places = [sorted(rank(row, key) for row in Part(number, 4, 2).numbers(0, 2_000)) for number in range(4)]
    assert [place for part in places for place in part] == sorted(rank(row, key) for row in range(2_000))


def test_two_choices_of_rows_are_joined() -> None:
    odd, high = within([1, 3, 5, 7, 9]), within([5, 6, 7, 8, 9])
    assert both(None, None) is None
    assert both(odd, None) is odd
    assert both(None, high) is high
    joined = both(odd, high)
    assert joined is not None
    assert [*joined(0, 8)] == [5, 7]
