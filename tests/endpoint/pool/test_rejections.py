"""When a row is rejected for itself, and when the endpoint is full."""

import random

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rejections import Rejections


def rejections_until_certain(rejections: Rejections[str], share: float, seed: int = 1) -> int:
    """Return how often a row is rejected until it fails, where sound rows are rejected with a chance of `share`."""
    chance = random.Random(seed)
    for number in range(1, 10_000):
        now_s = float(number)
        if rejections.rejected("bad", now_s):
            return number
        earlier = 0
        while chance.random() < share:
            earlier += 1
        rejections.answered(f"row {number}", earlier, now_s + 0.5)
    return 10_000


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 9, 20), (0.5, 25, 40), (0.9, 100, 400)])
def test_a_row_fails_the_later_the_more_often_sound_rows_are_rejected(share: float, least: int, most: int) -> None:
    """About ten rejections in a calm run, some two hundred where nine attempts in ten are rejected."""
    assert least <= rejections_until_certain(Rejections(), share) <= most


def test_a_rejection_that_no_success_follows_costs_nothing() -> None:
    """A full limit, an outage: nobody is let in. A request that was sent before the rejection shows nothing either."""
    rejections: Rejections[str] = Rejections()
    for number in range(1_000):
        assert not rejections.rejected("row", float(number))
        rejections.answered("long", 0, number - 5.0)
    assert not rejections.is_known("row")


def test_several_rejections_before_one_success_count_once() -> None:
    """For all but the last, nothing shows that others were let in then."""
    rejections: Rejections[str] = Rejections()
    for number in range(100):
        assert not rejections.rejected("row", float(number))
        if number % 10 == 9:
            rejections.answered(None, 0, number + 0.5)
    assert rejections.is_known("row")


def test_a_row_that_is_answered_is_above_suspicion_again() -> None:
    """Its rejections show how often sound rows are rejected."""
    rejections: Rejections[str] = Rejections()
    for number in range(5):
        rejections.rejected("row", float(number))
        rejections.answered(None, 0, number + 0.5)
    assert rejections.is_known("row")
    rejections.answered("row", 5, 9.0)
    assert not rejections.is_known("row")


def test_canaries_that_are_rejected_too_make_a_rejection_weigh_less() -> None:
    """At the end of a run only they show how full the endpoint is."""

    def until_certain(canaries: int) -> int:
        rejections: Rejections[str] = Rejections()
        for number in range(1, 10_000):
            if rejections.rejected("row", float(number)):
                return number
            for _ in range(canaries):
                rejections.canary_rejected()
            rejections.answered(None, 0, number + 0.5)
        return 10_000

    assert until_certain(0) < 20
    assert until_certain(9) > 100


def test_no_sound_row_fails_when_a_calm_endpoint_suddenly_rejects_nearly_everything() -> None:
    """Fifty rows that wait are sent in turns, and one attempt in twenty is let in."""
    for seed in range(20):
        chance = random.Random(seed)
        rejections: Rejections[int] = Rejections()
        for row in range(500):
            rejections.answered(-1 - row, 0, 0.0)
        waiting = dict.fromkeys(range(50), 0)
        now_s = 1.0
        while waiting:
            for row in list(waiting):
                now_s += 1
                if chance.random() < 0.05:
                    rejections.answered(row, waiting.pop(row), now_s)
                else:
                    waiting[row] += 1
                    assert not rejections.rejected(row, now_s), (seed, row, waiting[row])


@pytest.mark.parametrize("bad", [{3}, {3, 4, 5, 6, 7}, {3, 104, 205, 306, 407}])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_that_are_always_rejected_for_a_rate_hold_up_the_others_only_for_a_while(bad: set[int], seed: int) -> None:
    """Without advice how long to wait: 2,000 rows take 22 s without them, and less than 90 s with them."""
    bodies = {b"row-%d" % row for row in bad}
    slow_down = refusal(429, "Rate limit reached for requests per min")
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: slow_down if body in bodies else None)
    run = send_all(endpoint, 2_000, limit=Limit(50, start=50), seed=seed)
    assert {outcome.row for outcome in run.failed} == bad
    assert endpoint.last_answer_s < 90
