"""The truth is in the range of a prompt's tokens, which is only as wide as it must be."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.preflight.prompt_fit import UNKNOWN_SHARE, PromptFit, lengths_by_bytes
from batchrun.engine.preflight.ranges import Range


def fitted(*pairs: tuple[float, float]) -> PromptFit:
    found = PromptFit.of(pairs)
    assert found is not None
    return found


def exactly(tokens: float) -> Range:
    return Range(tokens, tokens, tokens)


@pytest.mark.parametrize("pairs", [[], [(0.0, 7.0)], [(10.0, 7.0), (0.0, 7.0)]])
def test_without_anything_to_learn_from_there_is_no_fit(pairs: list[tuple[float, float]]) -> None:
    """An empty prompt shows nothing either."""
    assert PromptFit.of(pairs) is None


def test_what_a_template_adds_is_not_taken_for_a_share_of_the_text() -> None:
    """Forty tokens come on top of each prompt; between prompts, a token that was estimated is a token."""
    fit = fitted(*((float(size), size + 40.0) for size in range(10, 210, 2)))
    low, likely, high = fit.tokens(exactly(20))
    assert likely == pytest.approx(60)
    assert low < 60 < high
    assert high - low < 0.25 * 60


def test_one_prompt_says_less_than_many() -> None:
    """Of prompts of the same length the mean is known: the better, the more were counted."""
    shares = []
    for count in (1, 4, 100):
        low, likely, high = fitted(*[(100.0, 120.0)] * count).tokens(exactly(100))
        assert likely == pytest.approx(120)
        shares.append((high - low) / likely)
    assert shares[0] > shares[1] > shares[2]


def test_prompts_of_a_length_that_was_not_counted_have_a_wider_range() -> None:
    """Up to what is usual: they may be of another kind of text."""
    fit = fitted(*((float(size), 1.1 * size) for size in range(100, 200)))
    near, far = fit.tokens(exactly(150)), fit.tokens(exactly(1_000))
    assert (near.high - near.low) / near.likely < (far.high - far.low) / far.likely
    assert far.low <= 1_000 * (1 - UNKNOWN_SHARE) + 150
    assert far.low < 1_100 < far.high


def test_prompts_that_are_all_alike_say_nothing_of_the_slope() -> None:
    """All from none to one is possible then, and the ratio is the most likely."""
    fit = fitted(*[(100.0, 80.0)] * 50)
    assert fit.slope == pytest.approx(Range(0.8, 0.8, 1 + UNKNOWN_SHARE))


def test_a_range_never_ends_below_what_any_text_needs() -> None:
    """A steep line through a few prompts would give short ones fewer than no tokens."""
    fit = fitted(*((float(size), 3.0 * size - 250) for size in range(100, 140)))
    low, likely, high = fit.tokens(exactly(10))
    assert 0 < low <= likely <= high


@given(
    st.integers(3, 60),
    st.floats(0.8, 1.2),
    st.floats(0, 60),
    st.floats(0.05, 0.9),
    st.integers(0, 2**32),
)
def test_the_truth_is_in_the_range_where_prompts_are_like_those_that_were_counted(
    count: int, slope: float, added: float, share: float, seed: int
) -> None:
    """For every template and kind of text, whatever part of the prompts was counted."""
    chance = random.Random(seed)
    sizes = [chance.uniform(20, 400) for _ in range(count)]
    pairs = [(size, slope * size + added) for size in sizes]
    low, likely, high = fitted(*pairs).tokens(exactly(min(sizes) + share * (max(sizes) - min(sizes))))
    truth = slope * (min(sizes) + share * (max(sizes) - min(sizes))) + added
    assert low <= likely <= high
    assert low <= truth <= high


@pytest.mark.parametrize(
    ("more_bytes", "unseen"), [(0.0, 0.5), (400.0, 0.5), (-200.0, 0.9), (4_000.0, 0.99), (100.0, 0.0)]
)
def test_the_length_of_prompts_that_were_not_read_follows_from_their_bytes(more_bytes: float, unseen: float) -> None:
    """Whether all of a row's bytes are its prompt's text, or only some of them are: both truths are in the range."""
    tokens, row_bytes, density = 100.0, 800.0, 0.25
    low, likely, high = lengths_by_bytes(tokens, row_bytes, more_bytes, unseen, density)
    assert 0 < low <= likely <= high
    if_all_is_text = 1 + unseen * more_bytes * density / tokens
    in_proportion = 1 + unseen * more_bytes / row_bytes
    assert low <= max(0.1, if_all_is_text) <= high
    assert low <= max(0.1, in_proportion) <= high
