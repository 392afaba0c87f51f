"""What a project may do at once and in a minute; pure, the time is passed in."""

from __future__ import annotations

from collections import Counter


class InFlight:
    """How many requests each project has in flight."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, project: str, limit: int | None) -> bool:
        """Take a slot if the project has one left; None is no limit."""
        if limit is not None and self._open[project] >= limit:
            return False
        self._open[project] += 1
        return True

    def leave(self, project: str) -> None:
        """Give a slot back."""
        self._open[project] -= 1


class MinuteBudget:
    """What is left of an amount per minute, for each project: a bucket that refills steadily.

    That is how OpenAI words its own limits: a limit of 60 a minute lets one more through every second.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, project: str, amount: float, per_minute: int, now_s: float) -> float:
        """Return how long an amount has to wait before it fits; 0 when it does now.

        An amount larger than a minute's worth waits for the full bucket: it would wait for ever otherwise.
        """
        left = self.left(project, per_minute, now_s)
        missing = min(amount, per_minute) - left
        return max(0.0, missing * 60 / per_minute)

    def spend(self, project: str, amount: float, per_minute: int, now_s: float) -> None:
        """Take an amount; what is left may become negative, since an answer's length is known only afterwards."""
        self._left[project] = (self.left(project, per_minute, now_s) - amount, now_s)

    def left(self, project: str, per_minute: int, now_s: float) -> float:
        """Return what could be taken now; a limit that has just been lowered holds at once."""
        left, then_s = self._left.get(project, (float(per_minute), now_s))
        return min(float(per_minute), left + (now_s - then_s) * per_minute / 60)
