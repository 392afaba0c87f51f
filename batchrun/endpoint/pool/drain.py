"""How long a run that was stopped waits for what is in flight. Pure: time is given.

Theory of operation. Nothing more is sent, and what arrives is kept: it is paid for. The user waits for that, and so
does the next job in the night: where attempts hang, it must not last until the timeout. An attempt that is several
times as old as the slowest answer of its model is given up, and its row stays open.

Unlike at the end of a run, it does not matter how many hang: nothing is sent again, and the next execution asks for
them. It matters only whether enough answers were seen to know how long one takes: as many as are in flight. Before
that, as with answers that take minutes, every attempt has its timeout. A model that is away or
refused answers nothing: what is in flight then is given up too.

What is decided when the run stops holds until it has ended, because it is announced: how long the run waits at most.
"""

from collections.abc import Iterable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.stragglers import LOOK_AGAIN_S, Overdue, by_model, most_age_s


class Drain:
    """The wait of a stopped run."""

    def __init__(self, lanes: Iterable[Lane], *, is_hopeless: bool = False) -> None:
        """Decide for each model how long to wait.

        Args:
            lanes: of all models.
            is_hopeless: nothing in flight will be answered, and nothing is waited for.
        """
        self._lanes = {lane.model: lane for lane in lanes}
        self._ages_s = {lane.model: most_age_s(lane) for lane in self._lanes.values() if _is_bounded(lane)}
        if is_hopeless:
            self._ages_s = dict.fromkeys(self._lanes, 0.0)

    def most_s(self, in_flight: Iterable[Work], now_s: float, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long the run waits at most.

        Args:
            in_flight: what is in flight.
            now_s: the time.
            timeout_s: how long an attempt takes at most.
            is_stream: whether answers are streamed: a stream that still sends is not given up.
        """
        ages_s = {} if is_stream else self._ages_s
        ends = (work.sent_s + min(timeout_s, ages_s.get(work.request.model, timeout_s)) for work in in_flight)
        return max(0.0, max(ends, default=now_s) - now_s)

    def find_overdue(self, in_flight: Iterable[Work], now_s: float) -> tuple[list[Overdue], float | None]:
        """Return the attempts to give up now, by model, and when to look again; None when nothing is in flight."""
        found: list[Overdue] = []
        looks: list[float] = []
        for model, works in by_model(in_flight).items():
            lane = self._lanes[model]
            age_s = self._ages_s.get(model, most_age_s(lane))
            late = [work for work in works if now_s - work.sent_s >= age_s]
            looks += [work.sent_s + age_s for work in works if now_s - work.sent_s < age_s]
            if late and (model in self._ages_s or _is_bounded(lane)):
                found.append(Overdue(lane, late, age_s))
            if late:
                looks.append(now_s + LOOK_AGAIN_S)
        return found, min(looks, default=None)


def _is_bounded(lane: Lane) -> bool:
    """Return whether it is known how long an answer takes, or that none will come."""
    return lane.health.pause is not None or lane.is_closed or lane.in_flight <= lane.answers
