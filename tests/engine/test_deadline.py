"""The next occurrence of a time of day, also in the two nights a year when clocks change."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from batchrun.engine.deadline import next_time_s, stop_text, when_text

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
NEW_YORK = "EST5EDT,M3.2.0,M11.1.0"
LORD_HOWE = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
"""The clocks of Lord Howe Island are put back by half an hour."""
KOLKATA = "IST-5:30"


@pytest.fixture
def _any_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test set the time zone."""
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_any_zone")
@pytest.mark.parametrize(
    ("zone", "now", "clock_time", "shown"),
    [
        pytest.param("UTC0", "2026-06-01T10:00:00+00:00", "18:30", "2026-06-01T18:30:00+00:00", id="later today"),
        pytest.param("UTC0", "2026-06-01T20:00:00+00:00", "7:30", "2026-06-02T07:30:00+00:00", id="tomorrow"),
        pytest.param("UTC0", "2026-06-01T07:30:00+00:00", "07:30", "2026-06-02T07:30:00+00:00", id="now has passed"),
        pytest.param("UTC0", "2026-06-01T07:29:59.9+00:00", "07:30", "2026-06-01T07:30:00+00:00", id="in a moment"),
        pytest.param("UTC0", "2026-12-31T23:59:00+00:00", "00:00", "2027-01-01T00:00:00+00:00", id="the next year"),
        pytest.param(KOLKATA, "2026-06-01T20:00:00+00:00", "07:30", "2026-06-02T02:00:00+00:00", id="a half-hour zone"),
        pytest.param(BERLIN, "2026-10-24T22:00:00+02:00", "07:30", "2026-10-25T07:30:00+01:00", id="back"),
        pytest.param(BERLIN, "2026-03-28T22:00:00+01:00", "07:30", "2026-03-29T07:30:00+02:00", id="forward"),
        pytest.param(NEW_YORK, "2026-10-31T22:00:00-04:00", "07:30", "2026-11-01T07:30:00-05:00", id="New York, back"),
        pytest.param(NEW_YORK, "2026-03-07T22:00:00-05:00", "07:30", "2026-03-08T07:30:00-04:00", id="March"),
        pytest.param(LORD_HOWE, "2026-04-04T22:00:00+11:00", "07:30", "2026-04-05T07:30:00+10:30", id="30 min back"),
        pytest.param(BERLIN, "2026-10-24T22:00:00+02:00", "02:30", "2026-10-25T02:30:00+02:00", id="the first of two"),
        pytest.param(BERLIN, "2026-10-25T02:45:00+02:00", "02:30", "2026-10-25T02:30:00+01:00", id="the second of two"),
        pytest.param(BERLIN, "2026-10-25T02:45:00+01:00", "02:30", "2026-10-26T02:30:00+01:00", id="after both"),
        pytest.param(BERLIN, "2026-03-28T22:00:00+01:00", "02:30", "2026-03-29T03:00:00+02:00", id="a skipped time"),
        pytest.param(BERLIN, "2026-03-28T22:00:00+01:00", "02:00", "2026-03-29T03:00:00+02:00", id="the first skipped"),
        pytest.param(BERLIN, "2026-03-29T03:15:00+02:00", "02:30", "2026-03-30T02:30:00+02:00", id="after the skip"),
    ],
)  # fmt: skip
def test_the_next_time_is_the_one_that_clocks_show(
    monkeypatch: pytest.MonkeyPatch, zone: str, now: str, clock_time: str, shown: str
) -> None:
    """The zones are given as rules: not every machine has the table of zone names."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    then_s = next_time_s(clock_time, datetime.fromisoformat(now).timestamp())
    assert then_s == datetime.fromisoformat(shown).timestamp()


@pytest.mark.usefixtures("_any_zone")
@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-06-01T18:30:00+00:00", "stops at 18:30, in 43 min 00 s"),
        ("2026-06-02T17:42:00+00:00", "stops at 17:42 tomorrow, in 23 h 55 min"),
        ("2026-06-03T18:00:00+00:00", "stops at 18:00 on 2026-06-03, in 48 h 13 min"),
    ],
)
def test_the_stop_is_announced_with_its_day(monkeypatch: pytest.MonkeyPatch, at: str, shown: str) -> None:
    """A time of day that has passed is tomorrow's."""
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    now_s = datetime.fromisoformat("2026-06-01T17:47:00+00:00").timestamp()
    assert stop_text(datetime.fromisoformat(at).timestamp(), now_s) == shown
    passed_s = datetime.fromisoformat("2026-06-01T06:00:00+00:00").timestamp()
    assert when_text(passed_s, now_s) == "06:00"
