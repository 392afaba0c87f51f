"""How many requests a project may have in flight and per minute; pure, the time is an argument."""

from __future__ import annotations

from collections import Counter


class InFlight:
    """The number of requests that each project has in flight."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, project: str, limit: int | None) -> bool:
        """Take a slot if the project has one left; return whether it had. None means unlimited."""
        if limit is not None and self._open[project] >= limit:
            return False
        self._open[project] += 1
        return True

    def leave(self, project: str) -> None:
        """Give a slot back."""
        self._open[project] -= 1


class MinuteBudget:
    """What each project has left of an amount per minute: a bucket that refills continuously.

    OpenAI describes its limits so: 60 per minute allows one request each second.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, project: str, amount: float, per_minute: int, now_s: float) -> float:
        """Return how long an amount has to wait until it fits; 0 if it fits now.

        An amount larger than the whole bucket waits until the bucket is full: otherwise it would wait for ever.
        """
        left = self.left(project, per_minute, now_s)
        missing = min(amount, per_minute) - left
        return max(0.0, missing * 60 / per_minute)

    def spend(self, project: str, amount: float, per_minute: int, now_s: float) -> None:
        """Take an amount; the rest may be negative, because the length of an answer is known only afterwards."""
        self._left[project] = (self.left(project, per_minute, now_s) - amount, now_s)

    def left(self, project: str, per_minute: int, now_s: float) -> float:
        """Return the amount that is available now; a lowered limit takes effect immediately."""
        left, then_s = self._left.get(project, (float(per_minute), now_s))
        return min(float(per_minute), left + (now_s - then_s) * per_minute / 60)
