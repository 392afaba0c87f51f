"""The time axis of the plots: long stretches in which nothing ran are drawn shortened. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

_GAP_SHARE = 0.08
"""Most of the running time that a gap takes on the axis: room for its label."""

_GAPS_SHARE = 0.4
"""Most of the running time that all gaps take together."""

_STEPS_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200, 86_400),
)
"""Between ticks; each at most two and a half times the one before."""

_FEWEST_TICKS = 2
"""Fewer show no time scale."""


Span = tuple[float, float]
"""Unix times in ms of the start and the end of something."""


class Gap(NamedTuple):
    """A stretch between two executions, in which no process ran. Unix times in ms."""

    start_ms: float
    end_ms: float


class Cut(NamedTuple):
    """A gap as the axis shows it, in ms from the start of the axis."""

    start_ms: float
    """Of the gap, in real time."""
    length_ms: float
    saved: float
    """Share of the gap that the axis leaves out."""


class Clock:
    """Moments ↔ places on the axis. A place is in ms from the start of the axis."""

    def __init__(self, start_ms: float, end_ms: float, gaps: Iterable[Gap] = (), *, zone: tzinfo | None = None) -> None:
        """Fix the axis.

        Args:
            start_ms: Unix time of its start.
            end_ms: Unix time of its end.
            gaps: in order, not overlapping; parts outside the axis are ignored.
            zone: of the clock; the machine's own without it.
        """
        self.start_ms, self.end_ms, self._zone = start_ms, end_ms, zone
        self.gaps = [gap for gap in (_within(gap, start_ms, end_ms) for gap in gaps) if gap.end_ms > gap.start_ms]
        self.cuts = list(self._cuts())
        self.length_ms = self.place(end_ms)
        """Of the axis."""

    def _cuts(self) -> Iterable[Cut]:
        if not self.gaps:
            return
        running_ms = self.running_ms(self.start_ms, self.end_ms)
        most_ms = running_ms * min(_GAP_SHARE, _GAPS_SHARE / len(self.gaps))
        for start_ms, end_ms in self.gaps:
            length_ms = end_ms - start_ms
            if length_ms > most_ms > 0:
                yield Cut(start_ms - self.start_ms, length_ms, 1 - most_ms / length_ms)

    def running_ms(self, from_ms: float, until_ms: float) -> float:
        """Return how much time between two moments is outside the gaps."""
        inside = (_within(gap, from_ms, until_ms) for gap in self.gaps)
        return until_ms - from_ms - sum(max(0.0, gap.end_ms - gap.start_ms) for gap in inside)

    def place(self, at_ms: float) -> float:
        """Return the place of a moment."""
        since_ms = at_ms - self.start_ms
        return since_ms - sum(cut.saved * min(max(0.0, since_ms - cut.start_ms), cut.length_ms) for cut in self.cuts)

    def moment_ms(self, place_ms: float) -> float:
        """Return the Unix time of a place."""
        since_ms = place_ms
        for cut in self.cuts:
            inside_ms = since_ms - cut.start_ms
            if inside_ms <= 0:
                break
            shown_ms = cut.length_ms * (1 - cut.saved)
            since_ms += min(inside_ms, shown_ms) * (cut.length_ms / shown_ms - 1)
        return self.start_ms + since_ms

    @property
    def segments(self) -> list[tuple[float, float]]:
        """The stretches between shortened gaps: Unix times of their start and end."""
        ends = [(self.start_ms + cut.start_ms, self.start_ms + cut.start_ms + cut.length_ms) for cut in self.cuts]
        starts = [self.start_ms, *(end for _, end in ends)]
        return list(zip(starts, [*(start for start, _ in ends), self.end_ms], strict=True))

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return place and text of round clock times, at most about `most`, none of them in a shortened gap."""
        least_s = self.length_ms / 1000 / most
        step_s = next((step for step in _STEPS_S if step >= least_s), None)
        ticks = self._ticks(step_s or 86_400 * -(-self.length_ms // (86_400_000 * most)), most)
        for shorter_s in reversed(_STEPS_S):  # where few round times are between the gaps
            if len(ticks) >= _FEWEST_TICKS:
                break
            if shorter_s < least_s:
                ticks = self._ticks(shorter_s, most)
        return ticks

    def _ticks(self, step_s: float, most: int) -> list[tuple[float, str]]:
        moments = [at for start, end in self.segments for at in self._round_moments(start, end, step_s)]
        apart_ms = self.length_ms / most * 0.6
        ticks: list[tuple[float, str]] = []
        last: datetime | None = None
        for at_ms in moments:
            if ticks and self.place(at_ms) - ticks[-1][0] < apart_ms:
                continue
            now = self.local(at_ms)
            ticks.append((self.place(at_ms), _tick_text(now, last, step_s)))
            last = now
        return ticks

    def _round_moments(self, start_ms: float, end_ms: float, step_s: float) -> Iterable[float]:
        offset_ms = self._offset_ms(start_ms)
        number = -(-(start_ms + offset_ms) // (step_s * 1000))
        while (at_ms := number * step_s * 1000 - offset_ms) <= end_ms:
            yield at_ms
            number += 1

    def _offset_ms(self, at_ms: float) -> float:
        offset = self.local(at_ms).utcoffset() or timedelta()
        return offset.total_seconds() * 1000

    def local(self, at_ms: float) -> datetime:
        """Return a moment in the clock's zone."""
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self._zone)

    @property
    def zone_name(self) -> str:
        """Name of the zone at the start of the axis."""
        return self.local(self.start_ms).strftime("%Z")

    def text(self, at_ms: float) -> str:
        """Return a moment for people: with the date, if the axis covers several days."""
        now = self.local(at_ms)
        is_long = self.local(self.start_ms).date() != self.local(self.end_ms).date()
        clock = f"{now:%H:%M:%S}" if self.length_ms > 5_000 else f"{now:%H:%M:%S}.{now.microsecond // 1000:03}"
        return f"{now.day} {now:%b} {clock}" if is_long else clock


def _within(gap: Gap, start_ms: float, end_ms: float) -> Gap:
    return Gap(max(gap.start_ms, start_ms), min(gap.end_ms, end_ms))


def _tick_text(now: datetime, last: datetime | None, step_s: float) -> str:
    """Return the time of a tick; its date where a day begins."""
    date = f"{now.day} {now:%b}"
    is_midnight = not (now.hour or now.minute or now.second)
    if step_s >= 86_400 or (is_midnight and step_s >= 60):
        return date
    if last is not None and now.date() != last.date():
        return f"{date} {now:%H:%M}"
    if step_s >= 60:
        return f"{now:%H:%M}"
    return f"{now:%H:%M:%S}" if step_s >= 1 else f"{now:%H:%M:%S}.{now.microsecond // 100_000}"


def gaps_between(stretches: Sequence[Span]) -> list[Gap]:
    """Return the gaps between stretches of time, which may overlap; in order of their starts."""
    gaps, end_ms = [], float("-inf")
    for start_ms, until_ms in sorted(stretches):
        if start_ms > end_ms > float("-inf"):
            gaps.append(Gap(end_ms, start_ms))
        end_ms = max(end_ms, until_ms)
    return gaps
