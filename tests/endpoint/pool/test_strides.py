"""A limit whose news comes late grows by strides."""

import random

from batchrun.endpoint.pool.gains import APART, Gains
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.strides import Strides


def test_a_stride_is_used_up_and_the_next_one_is_twice_as_long_once_its_news_must_have_come() -> None:
    """At 0.1 s of lag, that is after 0.2 s."""
    strides = Strides(8)
    strides.lag_s = 0.1
    assert [strides.take(3, at_s, 1_000) for at_s in (0.0, 0.05, 0.1, 0.15)] == [3, 3, 2, 0]
    assert sum(strides.take(3, 0.2, 1_000) for _ in range(10)) == 16
    assert sum(strides.take(3, 0.3, 1_000) for _ in range(10)) == 0


def test_a_stride_that_was_not_used_up_does_not_double() -> None:
    """It is given once more: nothing shows that the server takes it."""
    strides = Strides(8)
    strides.take(3, 0.0, 1_000)
    assert sum(strides.take(1, 1.0, 1_000) for _ in range(20)) == 8


def test_after_a_rejection_the_limit_grows_by_one_at_first() -> None:
    """The one is known to be accepted before two are added."""
    strides = Strides(64)
    strides.take(64, 0.0, 1_000)
    strides.restart(1.0)
    assert sum(strides.take(3, 1.0, 1_000) for _ in range(5)) == 1
    assert sum(strides.take(3, 1.2, 1_000) for _ in range(5)) == 2


def test_a_stride_is_no_longer_than_the_ceiling() -> None:
    """Doublings would go on for ever."""
    strides = Strides(8)
    for at_s in range(20):
        assert sum(strides.take(3, float(at_s), 20) for _ in range(20)) <= 20


def test_a_ramp_by_strides_adds_less_before_the_first_rejection_is_known() -> None:
    """A server with 20 slots, whose rejections are known 0.2 s late: a ramp without strides adds 60, not 8."""
    added = {}
    for strides in (None, Strides(8)):
        limit = Limit(5_000, strides=strides)
        if strides is not None:
            strides.lag_s = 0.2
        for step in range(20):  # each 10 ms an answer
            limit.completed(limit.current, 0.3, limit.current - 1, 0.01 * step)
        added[strides is not None] = limit.current
    assert added == {False: 68, True: 16}


def test_levels_of_one_edge_are_not_compared() -> None:
    """31 and 32 in flight are of two doublings, and the server is as fast with both."""
    chance = random.Random(1)
    for apart, is_enough in ((1.0, True), (APART, False)):
        gains = Gains(apart=apart)
        found = [gains.answered(level, chance.uniform(0.9, 1.1)) for _ in range(20) for level in (31, 32)]
        assert any(found) is is_enough
