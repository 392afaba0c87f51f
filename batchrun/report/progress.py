"""The progress of a run as the text of a bar and as a line of a log. Pure: time is given."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from batchrun.job.catalogue import cap_text, spent_text
from batchrun.prompts.count import left_s
from batchrun.records import EndpointFigures, Figures
from batchrun.report.batches import batches_text
from batchrun.report.texts import duration_text, rows_text, short_count
from batchrun.report.workers import workers_text

LINE_EVERY_S = 5.0
"""Time between two lines of a log, at first."""

_SLOWEST_LINE_S = 60.0
_SLOWEST_PAUSED_LINE_S = 600.0

_RUNNING_SHARE = 1 / 60
_PAUSED_SHARE = 1 / 10
"""Time between two lines as a share of the time so far: 12 hours of running are about 870 lines, of a pause 120."""

_LEAST_BAR = 6
"""Narrowest bar, in columns."""

_SEPARATOR = " · "
_CUT = "…"

_REASONED = ("PAUSED", "STOPPING")
"""Parts with a reason, which is cut where it is too long."""


class _Part(NamedTuple):
    text: str
    rank: int = 0
    """Parts of the highest rank are left out first where there is no room; those of rank 0 never."""


def line_every_s(running_s: float, paused_s: float | None, least_s: float = LINE_EVERY_S) -> float:
    """Return the time between two lines of a log.

    Args:
        running_s: how long the execution has run.
        paused_s: how long it has been paused; None when it is not.
        least_s: the shortest time.
    """
    if paused_s is None:
        return max(least_s, min(_RUNNING_SHARE * running_s, _SLOWEST_LINE_S))
    return max(least_s, min(_PAUSED_SHARE * paused_s, _SLOWEST_PAUSED_LINE_S))


def percent(figures: Figures) -> int | None:
    """Return the share of rows that are settled, rounded down: 100 only at the end; None while it is not known."""
    if figures.total is None or not figures.total.rows:
        return None
    return min(100, 100 * figures.done // figures.total.rows)


def line_text(figures: Figures, now_ms: int) -> str:
    """Return one line for a log.

    Args:
        figures: of the run.
        now_ms: Unix time.
    """
    return _SEPARATOR.join(part.text for part in _parts(figures, now_ms, noun=" rows"))


def bar_text(figures: Figures, now_ms: int, columns: int) -> str:
    """Return what stands behind the bar: what matters, and of the rest what fits.

    Rows, failures, the reason of a pause or a stop, and the cost under a cap are never left out; a long reason is cut.

    Args:
        figures: of the run.
        now_ms: Unix time.
        columns: of the whole line.
    """
    room = columns - len("100%|| ") - _LEAST_BAR
    parts = list(_parts(figures, now_ms))
    while _length(parts) > room and any(part.rank for part in parts):
        parts.remove(max(parts, key=lambda part: part.rank))
    excess = _length(parts) - room
    for place, part in enumerate(parts):
        head = next((word for word in _REASONED if part.text.startswith(word)), None)
        if excess > 0 and head is not None:
            kept = max(len(head), len(part.text) - excess - len(_CUT))
            parts[place] = _Part(part.text[:kept].rstrip(" :") + _CUT)
    return _SEPARATOR.join(part.text for part in parts)


def _length(parts: list[_Part]) -> int:
    return len(_SEPARATOR.join(part.text for part in parts))


def _parts(figures: Figures, now_ms: int, noun: str = "") -> Iterator[_Part]:
    """Yield what is known, in the order in which it is shown."""
    total = "?" if figures.total is None else rows_text(figures.total)
    yield _Part(f"{figures.done:,}/{total}{noun}")
    if figures.rate_per_s is not None:
        yield _Part(f"{figures.rate_per_s:.1f}/s", 2)
    yield _Part(_flight(figures, now_ms), 3)
    yield from _endpoints(figures.endpoints)
    if figures.workers:
        yield _Part(workers_text(figures.workers), 8)
    if figures.waiting:
        yield _Part(f"{figures.waiting:,} to send again", 5)
    if figures.throttled:
        yield _Part(f"{short_count(figures.throttled)} throttled", 6)
    yield _Part(f"{figures.failed:,} failed")
    if figures.tokens is not None:
        yield _Part(f"{short_count(figures.tokens)} tokens", 7)
    if figures.cap_usd is not None and figures.cost_usd is not None:
        yield _Part(f"{spent_text(figures.cost_usd)} of {cap_text(figures.cap_usd)} USD")
    if figures.stopping is not None:
        yield from _stop(figures, now_ms)
    elif figures.pause is not None:
        yield from _pause(figures, now_ms)
    left = left_s(
        figures.total, figures.done + figures.unwanted, figures.rate_per_s, is_paused=figures.probe_at_ms is not None
    )
    if left is not None:
        yield _Part(f"about {duration_text(left)} left", 1)


def _flight(figures: Figures, now_ms: int) -> str:
    """Return what is under way: batches, or requests."""
    if figures.batches is not None:
        return batches_text(figures.batches, now_ms)
    return f"{figures.in_flight}/{figures.limit} in flight"


def _endpoints(endpoints: Sequence[EndpointFigures]) -> Iterator[_Part]:
    """Yield what is in flight at each endpoint that is open, and which ones are not."""
    if found := [f"{each.name} {each.in_flight}/{each.limit}" for each in endpoints if each.state == "open"]:
        yield _Part(_SEPARATOR.join(found), 8)
    if gone := [f"{each.name} {each.state}" for each in endpoints if each.state != "open"]:
        yield _Part(_SEPARATOR.join(gone), 1)


def _stop(figures: Figures, now_ms: int) -> Iterator[_Part]:
    if figures.drained_by_ms is not None:
        yield _Part(f"ends in {_whole_text(figures.drained_by_ms - now_ms)} at most", 4)
    yield _Part(f"STOPPING: {figures.stopping}")


def _pause(figures: Figures, now_ms: int) -> Iterator[_Part]:
    lasts = "" if figures.paused_since_ms is None else f" {_whole_text(now_ms - figures.paused_since_ms)}"
    if figures.probe_at_ms is not None:
        yield _Part(f"next probe in {_whole_text(figures.probe_at_ms - now_ms)}", 4)
    yield _Part(f"PAUSED{lasts}: {figures.pause}")


def _whole_text(duration_ms: int) -> str:
    """Return a duration in whole seconds, minutes, or hours and minutes."""
    seconds = max(0, round(duration_ms / 1000))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
