"""Whether more requests in flight gain anything: Little's law, from one doubling of the level to the next. Pure."""

_GAIN = 1.2
"""Least gain in throughput when the level doubles: what a larger batch gains on a busy GPU."""

_SAMPLES = 8
"""Answers by which a level is judged: the mean of eight log-normal times (σ 0.35) is within 25 % of the truth."""

APART = 1.5
"""How far apart two levels must be where the limit grows by strides: such a ramp lingers at the edge of a doubling."""


class Gains:
    """The throughput of a server by the level in flight: whether twice as many requests raise it."""

    def __init__(self, *, apart: float = 1.0) -> None:
        """Begin without answers.

        Args:
            apart: how many times the lower level the higher one must be on average to be compared with it.
        """
        self._apart = apart
        self._levels: dict[int, list[float]] = {}  # doublings → answers, sum of levels, sum of latencies

    def answered(self, level: int, latency_s: float) -> int | None:
        """Note an answer; return the level that is enough, once a higher level has gained nothing."""
        doublings = level.bit_length()
        here = self._levels.get(doublings)
        if here is None:
            here = self._levels[doublings] = [0, 0.0, 0.0]
        answers, levels, latencies_s = here[0] + 1, here[1] + level, here[2] + latency_s
        here[:] = answers, levels, latencies_s
        below = self._levels.get(doublings - 1)
        if answers < _SAMPLES or below is None or below[0] < _SAMPLES or not latencies_s:
            return None
        if levels / answers < self._apart * below[1] / below[0]:
            return None
        if levels / latencies_s >= _GAIN * below[1] / max(below[2], 1e-9):
            return None
        return 1 << (doublings - 1)
