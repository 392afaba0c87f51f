"""The time axis of the plots."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.report.clock import Clock, Gap, gaps_between

HOUR_MS = 3_600_000


def at(text: str, zone: str = "UTC") -> float:
    """Return a local time as Unix time in ms."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000


def clock_of(start: str, end: str, *gaps: tuple[str, str], zone: str = "UTC") -> Clock:
    """Return the axis between two local times."""
    return Clock(at(start, zone), at(end, zone), [Gap(at(a, zone), at(b, zone)) for a, b in gaps], zone=ZoneInfo(zone))


def texts(clock: Clock, most: int = 7) -> list[str]:
    """Return the texts of the ticks."""
    return [text for _, text in clock.ticks(most)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-28 21:58", "2026-11-29 02:10", ["22:00", "23:00", "29 Nov", "01:00", "02:00"]),
        ("2026-11-28 21:05:01", "2026-11-28 21:07:40", ["21:05:30", "21:06:00", "21:06:30", "21:07:00", "21:07:30"]),
        (
            "2026-11-28 21:05:01.2",
            "2026-11-28 21:05:01.7",
            ["21:05:01.2", "21:05:01.3", "21:05:01.4", "21:05:01.5", "21:05:01.6"],
        ),
        ("2026-11-28 21:00", "2026-12-01 02:00", ["29 Nov", "12:00", "30 Nov", "12:00", "1 Dec"]),
        ("2026-11-28 21:00", "2026-12-04 02:00", ["29 Nov", "30 Nov", "1 Dec", "2 Dec", "3 Dec"]),
    ],
    ids=["night", "minutes", "half a second", "days", "week"],
)
def test_ticks_are_round_clock_times(start: str, end: str, expected: list[str]) -> None:
    """Where a day begins, its date stands in the place of 00:00."""
    assert texts(clock_of(start, end))[:5] == expected


def test_ticks_are_round_in_the_zone_of_the_clock() -> None:
    """Zones may be half an hour off."""
    clock = clock_of("2026-11-28 21:50", "2026-11-29 03:10", zone="Asia/Kolkata")
    assert texts(clock) == ["22:00", "23:00", "29 Nov", "01:00", "02:00", "03:00"]
    assert clock.zone_name == "IST"
    assert clock.text(at("2026-11-28 23:05:06", "Asia/Kolkata")) == "28 Nov 23:05:06"


def test_a_gap_is_shown_shortened_and_has_no_ticks() -> None:
    """Two executions of two hours, three days apart: each gets nearly half of the axis."""
    clock = clock_of("2026-11-25 10:00", "2026-11-28 12:00", ("2026-11-25 12:00", "2026-11-28 10:00"))
    assert clock.length_ms == pytest.approx(4.32 * HOUR_MS)
    assert clock.place(at("2026-11-28 10:00")) == pytest.approx(2.32 * HOUR_MS)
    assert texts(clock) == ["10:00", "11:00", "12:00", "28 Nov 11:00", "12:00"]
    assert clock.running_ms(clock.start_ms, clock.end_ms) == pytest.approx(4 * HOUR_MS)


def test_a_short_gap_is_shown_as_long_as_it_is() -> None:
    """Only what would leave no room for the executions is shortened."""
    clock = clock_of("2026-11-28 10:00", "2026-11-28 12:00", ("2026-11-28 11:00", "2026-11-28 11:05"))
    assert clock.length_ms == 2 * HOUR_MS
    assert clock.cuts == []


@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=9, unique=True),
    st.floats(0, 1),
)
def test_a_place_leads_back_to_its_moment(ends: list[int], share: float) -> None:
    """Whatever gaps there are; places are in the order of their moments."""
    ends = sorted(ends)
    gaps = [Gap(*pair) for pair in zip(ends[1::2], ends[2::2], strict=False)]
    clock = Clock(ends[0], ends[-1], gaps)
    moment_ms = ends[0] + share * (ends[-1] - ends[0])
    place = clock.place(moment_ms)
    assert 0 <= place <= clock.length_ms + 1e-6
    assert clock.moment_ms(place) == pytest.approx(moment_ms, abs=1 + 1e-6 * ends[-1])
    assert clock.running_ms(ends[0], ends[-1]) <= clock.length_ms + 1e-6


def test_gaps_lie_between_stretches_that_may_overlap() -> None:
    assert gaps_between([(0, 5), (2, 3), (9, 12), (12, 20), (7, 8)]) == [Gap(5, 7), Gap(8, 9)]
    assert gaps_between([]) == []


def test_ticks_never_crowd() -> None:
    """Over any length, in any place."""
    start = datetime(2026, 3, 28, 21, 7, tzinfo=UTC)  # a night in which clocks are changed
    for minutes in (0.01, 0.3, 4, 47, 600, 5_000, 60_000):
        end = start + timedelta(minutes=minutes)
        clock = Clock(start.timestamp() * 1000, end.timestamp() * 1000, zone=ZoneInfo("Europe/Berlin"))
        places = [place for place, _ in clock.ticks(7)]
        assert 1 <= len(places) <= 9
        assert all(b - a >= clock.length_ms / 12 for a, b in pairwise(places))


@pytest.mark.parametrize("most", [4, 7])
def test_every_axis_has_at_least_two_times_and_not_many_more_than_wanted(most: int) -> None:
    """One alone shows no scale, whatever the length of the run and whenever it began."""
    for length_s in (0.7, 3.9, 8.2, 41, 95, 240, 570, 1_500, 4_000, 9_000, 15_000, 40_000, 90_000, 200_000, 900_000):
        for begun_s in (0, 7, 1_234, 50_000):
            start_ms = 1_790_000_000_000 + 1000 * begun_s
            clock = Clock(start_ms, start_ms + 1000 * length_s, zone=UTC)
            assert 2 <= len(clock.ticks(most)) <= 1.7 * most, (length_s, begun_s)


def test_an_axis_whose_round_times_fall_into_gaps_has_other_times() -> None:
    minute_ms, start_ms = 60_000.0, 1_790_000_040_000.0
    gaps = [Gap(start_ms + 3 * minute_ms, start_ms + 600 * minute_ms)]
    clock = Clock(start_ms, start_ms + 604 * minute_ms, gaps, zone=UTC)
    assert len(clock.ticks(4)) >= 2
