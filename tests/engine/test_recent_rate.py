"""The rate of recent minutes."""

import pytest

from batchrun.engine.recent_rate import RecentRate


def watched(*stretches: tuple[float, float], tick_s: float = 0.25) -> RecentRate:
    """A rate after these stretches: seconds, and rows per second (a negative one: paused)."""
    rate = RecentRate()
    now_s = settled = 0.0
    rate.add(now_s, 0, is_paused=False)
    for seconds, per_s in stretches:
        for _ in range(round(seconds / tick_s)):
            now_s += tick_s
            settled += max(0.0, per_s) * tick_s
            rate.add(now_s, int(settled), is_paused=per_s < 0)
    return rate


@pytest.mark.parametrize(
    ("stretches", "per_s"),
    [
        ([(1, 8.0)], None),
        ([(10, 8.0)], 8.0),
        ([(3600, 8.0), (180, 2.0)], 2.0),
        ([(3600, 8.0), (90, 2.0)], 5.0),
        ([(60, 8.0), (3600, -1.0)], None),
        ([(60, 8.0), (3600, -1.0), (10, 4.0)], 4.0),
        ([(60, 8.0), (3600, -1.0), (1, 4.0)], None),
        ([(3600, 0.02)], 0.02),
        ([(3600, 0.0)], 0.0),
    ],
    ids=["begins", "early", "recent", "mixed", "paused", "resumed", "just resumed", "slow", "nothing"],
)
def test_the_rate_is_that_of_recent_minutes(stretches: list[tuple[float, float]], per_s: float | None) -> None:
    """Not an average over an outage, and not noise where a row takes a minute."""
    assert watched(*stretches).per_s == (None if per_s is None else pytest.approx(per_s, rel=0.1))


def test_no_more_counts_are_kept_than_are_needed() -> None:
    """A run may take a week."""
    assert len(watched((20_000, 1.0), tick_s=1.0)._counts) <= 1_802
