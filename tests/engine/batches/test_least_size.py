"""How small a batch may be under a cap."""

import pytest

from batchrun.endpoint.pool.budget import CapTexts
from batchrun.engine.batches.least_size import least_requests, too_few_text

TEXTS = CapTexts("cost cap of 1 USD", "which can cost up to 0.1000 USD", "spent so far: 0.9500 USD", "raise --max-cost")


@pytest.mark.parametrize(
    ("answered", "under_way", "least"),
    [
        (0, 0, 1),
        (5, 0, 10),
        (0, 5, 10),
        (1_000, 0, 10),
        (1_001, 0, 11),
        (50_000, 0, 500),
        (0, 1_000, 100),
        (0, 101, 11),
    ],
)
def test_a_batch_must_be_worth_its_hours(answered: int, under_way: int, least: int) -> None:
    """Next to what was answered, and to what will give back more; the first one always is."""
    assert least_requests(1, answered=answered, under_way=under_way) == least


def test_each_of_several_batches_must_be_worth_it_while_others_give_back_more() -> None:
    """Without others, they are answered at the same time, and what they have together counts."""
    assert least_requests(4, answered=0, under_way=100) == 40
    assert least_requests(4, answered=100, under_way=0) == 10


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("first", [10, 1_000, 100_000])
def test_batches_under_a_cap_end_after_a_few_and_buy_most_of_what_it_can(first: int, share: float) -> None:
    """Whatever share of what is set aside for them requests use: each next batch has what the ones before left over."""
    room, sizes = float(first), list[int]()
    while (size := int(room)) >= least_requests(1, answered=sum(sizes), under_way=0):
        sizes.append(size)
        room -= size * share
    assert min(sizes) >= 10
    assert len(sizes) <= 25
    most_lost = max(10, sum(sizes) // 100) / share
    assert sum(sizes) >= int(first / share) - most_lost - len(sizes)


def test_the_reason_names_what_fits_and_what_a_batch_must_have() -> None:
    assert too_few_text(TEXTS, fitting=1, least=10) == (
        "the cost cap of 1 USD leaves room for 1 request and not for another one, which can cost up to 0.1000 USD; "
        "a batch takes hours, and under a cap none of fewer than 10 requests is sent; spent so far: 0.9500 USD; "
        "raise --max-cost, or run it with --via requests --yes to send what fits at the usual price"
    )
