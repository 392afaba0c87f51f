"""Whether failures that come in one moment show that the endpoint has crashed."""

import pytest

from batchrun.endpoint.pool.crash import Crash
from batchrun.endpoint.pool.failures import Failure, Loss

Crashes = Crash[int]


def fails(
    crash: Crashes,
    row: int,
    age_s: float,
    *,
    at_s: float = 10.0,
    left: int = 0,
    loss: Loss | None = Loss.BROKEN,
    **more: bool,
) -> bool:
    failure = Failure("connection", "cut", 1, at_s - age_s, at_s, left, was_probe=False, loss=loss, **more)
    return crash.shows(row, failure, many=8)


def test_most_of_what_was_in_flight_lost_in_one_moment_is_a_crash() -> None:
    """Four in flight, sent at different times."""
    crash = Crashes()
    assert [fails(crash, row, 0.2 * row, left=3) for row in range(4)] == [False, False, True, True]
    assert set(crash.lost_together) == {0, 1, 2, 3}


def test_rows_that_were_sent_together_may_have_broken_their_own_connections() -> None:
    """They are noted as lost together; a refused connection shows that the server is gone."""
    crash = Crashes()
    assert not any(fails(crash, row, 0.2, left=3) for row in range(4))
    assert set(crash.lost_together) == {0, 1, 2, 3}
    assert fails(crash, 9, 0.0, at_s=10.01, loss=Loss.UNREACHED)


@pytest.mark.parametrize(("loss", "is_crash"), [(Loss.STALE, False), (Loss.BROKEN, True)])
def test_kept_connections_that_break_count_only_with_another_loss(loss: Loss, is_crash: bool) -> None:
    """Servers close them after every answer, or all at once."""
    crash = Crashes()
    assert not any(fails(crash, row, 0.2 * row, left=3, loss=Loss.STALE) for row in range(3))
    assert fails(crash, 3, 0.1, loss=loss) is is_crash


def test_what_fails_while_others_in_flight_are_answered_later_shows_no_crash() -> None:
    """An answer that came at once may have been on its way, and a request that was sent as it failed came after it."""
    crash = Crashes()
    fails(crash, 0, 0.2, left=3)
    assert crash.failed_apart(sent_s=9.5, now_s=10.05) == []
    assert crash.failed_apart(sent_s=9.99, now_s=11.0) == []
    assert crash.failed_apart(sent_s=9.5, now_s=10.2) == [0]
    assert crash.failed_apart(sent_s=9.5, now_s=10.2) == []
    assert not any(fails(crash, row, 0.2 * row, at_s=20.0, left=3, is_own=True) for row in range(4))


def test_losses_at_different_moments_are_not_one_crash() -> None:
    """Each is the row's own until others show it."""
    crash = Crashes()
    assert not any(fails(crash, row, 0.2 * row, at_s=10.0 + 0.06 * row, left=3) for row in range(9))
    assert not crash.lost_together


def test_the_loss_of_the_only_row_on_trial_is_a_crash_if_nothing_else_was_left() -> None:
    """While others are answered, it has broken its own connection."""
    assert fails(Crashes(), 0, 0.1, is_trial=True)
    assert not fails(Crashes(), 0, 0.1, left=3, is_trial=True)
    assert not fails(Crashes(), 0, 0.1)


def test_many_that_fail_at_once_in_whatever_way_are_a_crash_if_they_were_sent_at_different_times() -> None:
    """A gateway may say 500 for all of them."""
    assert [fails(Crashes(), 0, 0.1, left=50, loss=None)] == [False]
    apart, together = Crashes(), Crashes()
    assert [fails(apart, row, 0.1 * row, left=50, loss=None) for row in range(8)][-1]
    assert not any(fails(together, row, 0.1, left=50, loss=None) for row in range(8))
