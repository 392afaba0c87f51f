"""When a clock on the wall shows a time of day next. Pure, but for the time zone: it is the machine's."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from batchrun.report.texts import duration_text


def next_time_s(clock_time: str, now_s: float) -> float:
    """Return the Unix time at which local clocks show a time of day next.

    Where clocks are put back, a time may be shown twice in a night: each counts. Where they are put forward, they
    skip some times: such a time counts as shown at the moment of the change.

    Args:
        clock_time: `HH:MM`.
        now_s: Unix time. A time that is shown at this very moment has passed.
    """
    hour, minute = map(int, clock_time.split(":"))
    today = datetime.fromtimestamp(now_s).date()
    days = (today + timedelta(days=day) for day in range(3))
    return next(at_s for day in days for at_s in _shown_at(day, time(hour, minute)) if at_s > now_s)


def setting_text(seconds: float) -> str:
    """Return a duration as a job file has it: 8h, 1h30m, 0.5s."""
    whole, rest_s = divmod(seconds, 60)
    hours, minutes = divmod(int(whole), 60)
    parts = [(hours, "h"), (minutes, "m"), (rest_s, "s")]
    return "".join(f"{number:g}{unit}" for number, unit in parts if number) or "0s"


def stop_text(at_s: float, now_s: float) -> str:
    """Return when a run will stop, such as `stops at 17:42 tomorrow, in 23 h 55 min`; see `when_text`."""
    return f"stops at {when_text(at_s, now_s)}"


def when_text(at_s: float, now_s: float) -> str:
    """Return a time to come, such as `17:42 tomorrow, in 23 h 55 min`; of one that has passed only when it was.

    Args:
        at_s: Unix time.
        now_s: Unix time.
    """
    at, today = datetime.fromtimestamp(at_s), datetime.fromtimestamp(now_s).date()
    days = {today: "", today + timedelta(days=1): " tomorrow"}
    left = f", in {duration_text(at_s - now_s)}" if at_s > now_s else ""
    return f"{at:%H:%M}{days.get(at.date(), f' on {at:%Y-%m-%d}')}{left}"


def _shown_at(day: date, clock_time: time) -> Iterator[float]:
    """Yield each Unix time at which local clocks show this time on this day, in order."""
    shown = datetime.combine(day, clock_time)
    before_s, after_s = shown.timestamp(), shown.replace(fold=1).timestamp()  # by the offset before and after a change
    if after_s < before_s:  # skipped: PEP 495 has the two in this order only then
        seconds = range(int(after_s), int(before_s) + 1)
        yield seconds[bisect_left(seconds, shown, key=datetime.fromtimestamp)]
    else:
        yield from sorted({before_s, after_s})
