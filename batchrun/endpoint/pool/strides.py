"""How far a limit may grow before it is known whether what was added was accepted. Pure: time is given.

Where other machines send the requests, or where this one is busy, a rejection is known only after a while. A ramp that
goes on meanwhile adds requests that are rejected too. So it grows by a *stride*, and by twice as much once the news of
the last stride must have come and nothing was rejected.
"""

_FIRST_LAG_S = 0.05

_NEVER_S = float("-inf")


class Strides:
    """The growth that is left in this stride."""

    def __init__(self, first: int) -> None:
        """Begin with a stride; at least 1."""
        self.lag_s = _FIRST_LAG_S
        """How long it takes, as a rule, from a grant to the news of the requests that it allowed."""
        self._stride = self._left = first
        self._began_s = _NEVER_S

    def take(self, by: int, now_s: float, most: int) -> int:
        """Return how much of a wish to grow is allowed now.

        Args:
            by: the wish.
            now_s: the time.
            most: the longest stride.
        """
        if now_s - self._began_s >= 2 * self.lag_s:
            if self._left <= 0:  # the last stride was used up, and nothing was rejected
                self._stride = min(2 * self._stride, most)
            self._left, self._began_s = self._stride, now_s
        allowed = min(by, self._left)
        self._left -= allowed
        return allowed

    def restart(self, now_s: float) -> None:
        """Begin again with a stride of one."""
        self._stride = self._left = 1
        self._began_s = now_s
