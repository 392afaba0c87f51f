"""How fast requests leave for a server with a rate."""

import itertools
import random
from collections import Counter, deque

import pytest
from harness.endpoints import Endpoint, lognormal, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.pace import Pace
from batchrun.records import Reply


def test_nothing_is_held_back_before_a_rejection() -> None:
    """A server without a rate is never slowed down."""
    pace = Pace()
    for _ in range(1_000):
        pace.sent(0.0)
    assert pace.rate_per_s is None
    assert pace.opens_s(0.0) is None


def test_a_rejection_closes_admission_for_as_long_as_it_asks() -> None:
    """The server's advice is followed."""
    pace = Pace()
    pace.sent(0.0)
    assert pace.exceeded(1.0, 30.0)
    assert pace.is_closed(30.9)
    assert pace.opens_s(1.0) == pytest.approx(31.0)
    assert not pace.is_closed(31.0)


def test_the_first_rejections_set_the_pace() -> None:
    """A hundred in ten seconds, of which fifty were accepted, give a little less than five a second."""
    pace = Pace()
    for number in range(100):
        pace.sent(number / 10)
    begins = [pace.exceeded(10.0, 0.1) for _ in range(50)]
    assert begins == [True] + [False] * 49
    assert pace.rate_per_s == pytest.approx(5 * 0.97)


def test_requests_leave_one_by_one_at_the_pace() -> None:
    """They do not come in bursts that would be rejected again."""
    pace = Pace()
    for number in range(100):
        pace.sent(number / 10)
    pace.exceeded(10.0, 1.0)
    left_s = []
    now_s = 11.0
    while now_s < 21.0:
        opens_s = pace.opens_s(now_s)
        if opens_s is None:
            pace.sent(now_s)
            left_s.append(now_s)
        now_s = opens_s or now_s
    gaps = [later - sooner for sooner, later in itertools.pairwise(left_s)]
    assert gaps[0] == pytest.approx(1 / (0.97 * 9.9), rel=0.05)
    assert all(later <= sooner for sooner, later in itertools.pairwise(gaps))


def test_the_pace_grows_until_the_next_rejection() -> None:
    """A rate that was raised is found."""
    pace = Pace()
    pace.sent(0.0)
    pace.exceeded(1.0, 0.0)
    before = pace.rate_per_s
    now_s = 1.0
    for _ in range(1_000):
        now_s = pace.opens_s(now_s) or now_s
        pace.sent(now_s)
    assert before is not None
    assert pace.rate_per_s is not None
    assert pace.rate_per_s > 2 * before


def test_a_rejection_soon_after_another_lowers_the_pace_a_little() -> None:
    """Too short a time measures chance, not a rate; and the pace grows more slowly from then on."""
    pace = Pace()
    for number in range(100):
        pace.sent(number / 10)
    pace.exceeded(10.0, 0.1)
    for number in range(12):
        pace.sent(10.2 + number / 12)
    before = pace.rate_per_s
    pace.exceeded(11.2, 0.1)
    assert before is not None
    assert 0.8 * before < pace.rate_per_s <= 0.97 * before


def test_while_almost_nothing_is_accepted_the_pace_falls_faster() -> None:
    """The first pace was that of a full bucket, and it must not last until chance has lowered it."""
    pace = Pace()
    for number in range(600):
        pace.sent(number / 400)
    pace.exceeded(1.5, 0.1)
    assert pace.rate_per_s == pytest.approx(399 * 0.97, rel=0.01)
    now_s = 1.6
    for _ in range(8):  # each time only one is accepted
        for _ in range(5):
            pace.sent(now_s)
        begins = [pace.exceeded(now_s + 0.05, 0.1) for _ in range(4)]
        assert begins == [True, False, False, False]
        now_s += 0.15
    assert 5 < pace.rate_per_s < 12


@pytest.mark.parametrize("latency_s", [0.05, 0.5])
@pytest.mark.parametrize("rate_per_s", [10, 100])
def test_a_bucket_that_was_full_is_not_hammered_once_it_is_empty(rate_per_s: int, latency_s: float) -> None:
    """A minute's worth at once, then evenly: no row is rejected again and again, and little time is lost."""
    left, at_s, turned_away = 60.0 * rate_per_s, 0.0, Counter[bytes]()

    def trouble(now_s: float, body: bytes) -> Reply | None:
        nonlocal left, at_s
        left, at_s = min(60.0 * rate_per_s, left + (now_s - at_s) * rate_per_s), now_s
        if left >= 1:
            left -= 1
            return None
        turned_away[body] += 1
        wait_ms = round((1 - left) / rate_per_s * 1000)
        return refusal(429, "Rate limit reached for requests per minute", retry_after_ms=str(wait_ms))

    endpoint = Endpoint(lambda now_s: 1_000_000, latency=lognormal(latency_s), trouble=trouble)
    run = send_all(endpoint, 90 * rate_per_s)
    assert len(run.outcomes) == 90 * rate_per_s
    assert not run.failed
    assert run.ended_s < 1.4 * 30
    assert max(turned_away.values()) <= 5


@pytest.mark.parametrize("rate_per_s", [5, 10, 100])
@pytest.mark.parametrize("advice_ms", [50, 200, 1_000, None])
def test_a_window_that_slides_is_kept_full_also_where_the_server_asks_to_come_again_too_soon(
    rate_per_s: int, advice_ms: int | None
) -> None:
    """Forty seconds' worth, at three quarters of what is allowed at least. None: the advice is exact."""
    accepted: deque[float] = deque()
    rejected = 0

    def trouble(now_s: float, body: bytes) -> Reply | None:
        nonlocal rejected
        while accepted and accepted[0] <= now_s - 1.0:
            accepted.popleft()
        if len(accepted) < rate_per_s:
            accepted.append(now_s)
            return None
        rejected += 1
        wait_ms = round((accepted[0] + 1.0 - now_s) * 1000) + 1 if advice_ms is None else advice_ms
        return refusal(429, f"rate limit: {rate_per_s} requests per second; try again in {wait_ms}ms")

    run = send_all(Endpoint(lambda now_s: 1_000_000, latency=lognormal(0.2), trouble=trouble), 40 * rate_per_s)
    assert len(run.outcomes) == 40 * rate_per_s
    assert not run.failed
    assert run.ended_s < 40 / (0.75 if advice_ms == 1_000 else 0.85)
    assert rejected <= 25


def test_a_rejection_before_which_nothing_was_let_in_closes_admission_for_longer_and_lowers_nothing() -> None:
    """The server's advice was too short; a long one is meant."""
    pace = Pace()
    for number in range(10):
        pace.sent(number / 100)
    pace.exceeded(0.2, 0.2)
    before = pace.rate_per_s
    waits_s, now_s = [], 0.2
    for _ in range(12):
        now_s = pace.opens_s(now_s) or now_s
        pace.sent(now_s)
        assert pace.exceeded(now_s, 0.2)
        closed_s = (pace.opens_s(now_s) or now_s) - now_s
        waits_s.append(round(closed_s, 6))
    assert waits_s == sorted(waits_s)
    assert waits_s[-1] == pytest.approx(5.0)
    assert pace.rate_per_s == pytest.approx(before, rel=0.5)
    pace.sent(now_s + 10)
    pace.exceeded(now_s + 10, 30.0)
    assert pace.opens_s(now_s + 10) == pytest.approx(now_s + 40)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_a_pace_does_not_fall_for_ever_where_the_share_that_is_let_in_does_not_depend_on_it(
    share: float, seed: int
) -> None:
    """Any request is rejected by chance, with words that name a rate. With a pace, this took 730 s and more."""
    chance = random.Random(seed)

    def trouble(now_s: float, body: bytes) -> Reply | None:
        return refusal(429, "Rate limit reached for requests per minute") if chance.random() < share else None

    run = send_all(Endpoint(lambda now_s: 1_000_000, trouble=trouble), 1_000)
    assert len(run.outcomes) == 1_000
    assert not run.failed
    assert run.ended_s < 400


def test_a_pace_that_was_given_up_is_kept_again_where_much_less_is_let_in() -> None:
    """After the chance a real rate follows: 20 a second, that the server holds without mercy."""
    chance, accepted = random.Random(3), deque[float]()
    sent = rejected = 0

    def trouble(now_s: float, body: bytes) -> Reply | None:
        nonlocal sent, rejected
        sent += 1
        if sent < 2_000:
            return refusal(429, "requests per minute") if chance.random() < 0.1 else None
        while accepted and accepted[0] <= now_s - 1.0:
            accepted.popleft()
        if len(accepted) < 20:
            accepted.append(now_s)
            return None
        rejected += 1
        return refusal(429, "requests per second", retry_after_ms="200")

    run = send_all(Endpoint(lambda now_s: 1_000_000, trouble=trouble), 6_000)
    assert len(run.outcomes) == 6_000
    assert not run.failed
    assert run.ended_s > 4_000 / 20
    assert rejected < 500


@pytest.mark.parametrize("start_s", [0.0, 3_600.0, 864_000.0])
def test_the_clock_may_start_anywhere(start_s: float) -> None:
    """An event loop's clock is often the machine's uptime, and a pace must not depend on that."""
    pace = Pace()
    for number in range(17):
        pace.sent(start_s + number / 17)
    pace.exceeded(start_s + 1.0, 0.0)
    assert pace.rate_per_s == pytest.approx(16 * 0.97)
