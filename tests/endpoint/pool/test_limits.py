"""The adaptive limit: single steps. `make bench` measures how well it does over time."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.limits import START, Change, Limit

Step = Callable[[Limit, float], None]


def answered(limit: Limit, now_s: float, *, in_flight: int | None = None, latency_s: float = 0.5) -> None:
    """Answer a request that was sent when all slots were in use."""
    limit.completed(limit.current, latency_s, limit.current - 1 if in_flight is None else in_flight, now_s)


def rejected(limit: Limit, now_s: float, in_flight: int) -> None:
    limit.throttled(in_flight, 0.005, now_s)


@pytest.mark.parametrize(
    ("ceiling", "start", "first"), [(100, START, START), (3, START, 3), (1, 50, 1), (100, 0, 1), (100, 60, 60)]
)
def test_a_limit_starts_at_the_given_level_but_within_its_bounds(ceiling: int, start: int, first: int) -> None:
    """At least one, at most the ceiling."""
    assert Limit(ceiling, start=start).current == first


def test_a_ramp_grows_with_every_answer_until_the_ceiling() -> None:
    """From a small start, and never above what the user allows."""
    limit = Limit(100)
    levels = [limit.current]
    for step in range(200):
        limit.completed(limit.current, 0.5 / 100, limit.current - 1, step * 0.01)
        levels.append(limit.current)
    assert levels == sorted(levels)
    assert levels[-1] == 100


def test_a_limit_that_is_not_in_use_does_not_grow() -> None:
    """Answers while slots are free show nothing about the server."""
    limit = Limit(100)
    for step in range(1_000):
        limit.completed(3, 0.5, 2, float(step))
    assert limit.current == START


def test_rejections_of_a_burst_leave_exactly_what_the_server_held() -> None:
    """Of forty sent, fifteen are rejected: twenty-five are held, however many rejections come."""
    limit = Limit(100, start=40)
    for left in range(39, 24, -1):
        rejected(limit, 0.01, left)
    assert limit.current == limit.held == 25


def test_a_rejection_with_nothing_else_in_flight_leaves_one_slot() -> None:
    """One slot must be left to probe with."""
    limit = Limit(100)
    rejected(limit, 1.0, 0)
    assert limit.current == 1


def test_after_a_rejection_the_limit_holds_and_probes_one_above() -> None:
    """Not at once, not by more than one, and not while that probe is unanswered."""
    limit = Limit(100, start=25)
    rejected(limit, 0.0, 20)
    for now_s in (0.2, 0.6, 0.9):
        answered(limit, now_s)
        assert limit.current == 20
    answered(limit, 1.5)
    assert limit.current == 21
    assert limit.held == 20


def test_a_probe_that_is_rejected_goes_back_and_waits_longer() -> None:
    """Each rejected probe doubles the wait before the next."""
    limit = Limit(100, start=20)
    rejected(limit, 0.0, 20)
    waits: list[float] = []
    now_s = since_s = 0.0
    while len(waits) < 5:
        now_s += 0.25
        answered(limit, now_s)
        if limit.current == 21:
            waits.append(now_s - since_s)
            rejected(limit, now_s, 20)
            since_s = now_s
            assert limit.current == 20
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]


def test_a_probe_that_is_answered_turns_to_a_ramp() -> None:
    """The limit has risen, so more is tried at once."""
    limit = Limit(100, start=20)
    rejected(limit, 0.0, 20)
    answered(limit, 2.0)
    assert limit.current == 21
    limit.completed(21, 0.5, 20, 3.0)
    assert limit.current > 21
    assert limit.held == limit.current


def test_ramps_go_by_strides_once_one_was_in_vain() -> None:
    """Answers that lay unread made a probe seem to be accepted, and many requests were rejected at once."""
    limit = Limit(1_000, start=200)
    rejected(limit, 0.0, 200)
    answered(limit, 2.0)
    limit.completed(201, 0.5, 200, 3.0)
    for _ in range(20):
        limit.completed(limit.current, 0.5, limit.current - 1, 3.001)
    assert limit.current > 250
    for left in range(limit.current - 1, 199, -1):
        rejected(limit, 3.01, left)
    assert limit.current == 200
    answered(limit, 8.0)
    limit.completed(201, 0.5, 200, 9.0)
    for _ in range(100):
        limit.completed(limit.current, 0.5, limit.current - 1, 9.001)
    assert limit.current <= 203
    for step in range(1, 300):
        limit.completed(limit.current, 0.5, limit.current - 1, 9.0 + step * 0.005)
    assert limit.current > 500  # the limit has risen: each stride is twice as long


def test_a_ramp_that_ends_where_its_probe_began_was_a_rejected_probe() -> None:
    """On a busy machine an answer seemed to show that the limit had risen: the next probe waits longer, not less."""
    limit = Limit(100, start=20)
    rejected(limit, 0.0, 20)
    probed: list[float] = []
    now_s = since_s = 0.0
    while len(probed) < 4:
        now_s += 0.25
        answered(limit, now_s)
        if limit.current == 21:
            probed.append(now_s - since_s)
            limit.completed(21, 0.1, 20, now_s + 0.1)
            for left in range(limit.current - 1, 19, -1):
                rejected(limit, now_s + 0.11, left)
            assert limit.current == 20
            since_s = now_s + 0.11
    assert probed == sorted(probed)
    assert probed[-1] > 4 * probed[0]


def test_a_failure_that_is_not_a_rejection_stops_growth_but_lowers_nothing() -> None:
    """The held level stays; a probe is withdrawn."""
    limit = Limit(100, start=20)
    limit.faltered(0.0)
    assert limit.current == 20
    answered(limit, 0.1)
    assert limit.current == 20
    answered(limit, 2.0)
    assert limit.current == 21
    limit.faltered(2.1)
    assert limit.current == 20


def test_after_a_time_without_any_slot_the_level_before_is_restored() -> None:
    """However far it fell, it returns in one step."""
    limit = Limit(100, start=40, known=True)
    for left in (30, 12, 3, 0):
        rejected(limit, 1.0, left)
    assert limit.current == 1
    limit.restore(60.0)
    assert limit.current == limit.held == 40


def test_a_cap_for_others_binds_until_it_is_lifted() -> None:
    """Never below one, never above the ceiling."""
    limit = Limit(100, start=40, known=True)
    limit.cap(10, 0.0)
    assert limit.current == 10
    limit.cap(0, 1.0)
    assert limit.current == 1
    limit.cap(1_000, 2.0)
    for step in range(5_000):
        limit.completed(limit.current, 0.001, limit.current - 1, 10.0 + step)
    assert limit.current <= 100
    limit.cap(None, 6_000.0)
    assert limit.current <= 100


def test_each_change_is_reported_once_with_its_reason() -> None:
    """For the history that the report shows."""
    changes: list[Change] = []
    limit = Limit(100, start=20, on_change=changes.append)
    rejected(limit, 1.0, 15)
    rejected(limit, 1.1, 15)
    limit.restore(2.0)
    assert [(change.at_s, change.limit) for change in changes] == [(1.0, 15), (2.0, 20)]
    assert all(change.reason for change in changes)


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.integers(0, 300).map(lambda left: lambda limit, now_s: rejected(limit, now_s, left)),
    st.tuples(st.integers(1, 300), st.floats(0, 600), st.integers(0, 300)).map(
        lambda drawn: lambda limit, now_s: limit.completed(drawn[0], drawn[1], drawn[2], now_s)
    ),
    st.just(lambda limit, now_s: answered(limit, now_s)),
    st.just(lambda limit, now_s: limit.faltered(now_s)),
    st.just(lambda limit, now_s: limit.restore(now_s)),
    st.one_of(st.none(), st.integers(-3, 300)).map(lambda most: lambda limit, now_s: limit.cap(most, now_s)),
)


@given(
    ceiling=st.integers(1, 200),
    start=st.integers(0, 300),
    known=st.booleans(),
    steps=st.lists(st.tuples(STEPS, st.floats(0, 100)), max_size=60),
)
def test_the_limit_is_always_between_one_and_the_ceiling(
    ceiling: int, start: int, known: bool, steps: list[tuple[Step, float]]
) -> None:
    """Under any sequence of calls, even those that no pool makes."""
    limit = Limit(ceiling, start=start, known=known)
    now_s = 0.0
    for step, after_s in steps:
        now_s += after_s
        step(limit, now_s)
        assert 1 <= limit.current <= ceiling
        assert 1 <= limit.held <= ceiling
        assert str(limit.current) in repr(limit)


def test_a_single_rejection_at_a_level_that_has_held_counts_as_chance() -> None:
    """At a real limit, the request that takes the place of the rejected one is rejected at once too."""
    limit = Limit(100, start=10, known=True)
    for tenth in range(5):
        limit.completed(10, 0.5, 8, 0.1 * tenth)
    limit.throttled(9, 0.005, 1.0)
    assert limit.current == 10
    limit.throttled(9, 0.005, 1.01)
    assert limit.current == 9
