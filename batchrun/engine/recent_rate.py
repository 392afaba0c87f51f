"""How many rows a run settles per second: of recent minutes, and not an average over outages. Pure: time is given."""

from collections import deque

_RECENT_S = 180.0
"""The rate is that of so many seconds."""

_FEWEST_ROWS = 20
"""With fewer rows in this time, a rate is noise: then it is that of a longer time."""

_LONGEST_S = 1800.0
"""The longest time that is looked at."""

_LEAST_S = 2.0
"""With less time than this, the rate is not known."""

_STEP_S = 1.0
"""Time between two counts that are kept."""


class RecentRate:
    """The rate of a run. A pause begins it again: what was before says nothing about what comes after."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._last: tuple[float, int] | None = None

    def add(self, now_s: float, settled: int, *, is_paused: bool) -> None:
        """Note how many rows are settled.

        Args:
            now_s: on a monotonic clock.
            settled: rows, those of earlier executions included.
            is_paused: whether the run is paused.
        """
        if is_paused:
            self._counts.clear()
            self._last = None
            return
        self._last = now_s, settled
        if not self._counts or now_s - self._counts[-1][0] >= _STEP_S:
            self._counts.append(self._last)
        while self._counts[0][0] < now_s - _LONGEST_S:
            self._counts.popleft()

    @property
    def per_s(self) -> float | None:
        """Rows per second; None in a pause, and while it is not known."""
        if self._last is None:
            return None
        now_s, settled = self._last
        from_s, before = self._last
        for from_s, before in reversed(self._counts):
            if now_s - from_s >= _RECENT_S and settled - before >= _FEWEST_ROWS:
                break
        return (settled - before) / (now_s - from_s) if now_s - from_s >= _LEAST_S else None
