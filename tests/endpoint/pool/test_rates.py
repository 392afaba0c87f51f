"""The shape of the user's rates, and what a request takes of them."""

import pytest
from harness.runs import rates_by_bytes
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.rates import Bucket, Rates, bucket
from batchrun.records import Request


def request(size: int) -> Request:
    return Request(0, "m", 0, b"", b"x" * size, None)


@given(st.integers(1, 10**7), st.sampled_from([0, 1]))
def test_a_minute_holds_no_more_than_the_rate_with_its_burst(per_minute: int, unit: int) -> None:
    """The burst at its start and what drains meanwhile, except the first unit, which has drained at its end."""
    shape = bucket(per_minute, unit=unit)
    assert shape is not None
    assert shape.burst >= 1
    assert 60 * shape.per_s >= per_minute / 2
    if per_minute > 2:
        assert shape.burst + 60 * shape.per_s == pytest.approx(per_minute + unit)


@given(st.floats(0.5, 1e4), st.floats(1, 1e3))
def test_portions_fit_into_the_bucket_and_add_up(amount: float, burst: float) -> None:
    """A request that is larger than a burst takes several."""
    portions = list(Bucket(burst, 1.0).portions(amount))
    assert max(portions) <= burst
    assert sum(portions) == pytest.approx(amount)


def test_a_request_takes_a_token_for_four_bytes_until_answers_report_more() -> None:
    """After many answers their counts decide; an answer without counts teaches nothing."""
    rates = rates_by_bytes(None, 6_000)
    assert rates.expected_tokens(request(400)) == 100
    assert rates.expected_tokens(request(0)) == 1
    rates.learn(request(400), None)
    assert rates.expected_tokens(request(400)) == 100
    for _ in range(200):
        rates.learn(request(400), 200)
    assert rates.expected_tokens(request(400)) == pytest.approx(200, rel=0.01)


def test_a_request_counts_its_expected_tokens_not_its_bytes() -> None:
    """A megabyte of an image is some hundred tokens."""
    rates = Rates(None, 60_000, lambda request: 1_000)
    assert rates.expected_tokens(request(1_000_000)) == 1_000
    for _ in range(200):
        rates.learn(request(1_000_000), 1_500)
    assert rates.expected_tokens(request(1_000_000)) == pytest.approx(1_500, rel=0.01)


def test_without_rates_there_is_nothing_to_keep() -> None:
    """A request without bytes teaches nothing harmful."""
    assert not rates_by_bytes(None, None).are_set
    assert rates_by_bytes(1, None).are_set
    assert rates_by_bytes(None, 1).are_set
    rates = rates_by_bytes(None, None)
    rates.learn(request(0), 5)
    assert rates.expected_tokens(request(4)) == 1
