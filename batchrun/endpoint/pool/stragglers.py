"""Which attempts take so much longer than all others that they are given up and sent again. Pure: time is given.

Theory of operation. A few requests of a long run hang: a gateway has lost them, or a worker has died. While there is
more to send they only hold slots. At the end, when nothing else is left, the run would wait for them until the timeout.
So an attempt that is several times as old as the slowest answer of its model is given up, once for each request. It may
have been billed: what was set aside for it stays set aside, and it counts as an attempt.

One slow answer proves little where few were seen, and where many requests hang the endpoint is at fault, not they. So
attempts are given up only when they are few, compared with the answers, or when another endpoint answers: that gets
them then. In a run that was stopped, `drain` decides.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.handover import open_siblings
from batchrun.endpoint.pool.lane import Lane

_LEAST_S = 30.0
"""Youngest attempt that is given up, however fast the answers are."""

_TIMES = 4.0
"""Age at which an attempt is given up, in times the slowest answer. Source: the slowest of 2,000 log-normal times with
σ = 0.35 is 3.4 times the median, and four times that never occurs."""

_SHARE = 1 / 20
"""Most attempts that are given up, as a share of the model's answers."""

_SLACK_S = 0.5
"""How much later to look: an attempt begins a moment after its request was sent, and that counts for its end."""

LOOK_AGAIN_S = 30.0
"""When to look again at attempts that are late and were not given up, such as streams that still send."""


class Overdue(NamedTuple):
    """The attempts of one model that are to be given up."""

    lane: Lane
    works: list[Work]
    age_s: float
    """Age at which an attempt of this model is given up."""


def most_age_s(lane: Lane) -> float:
    """Return the age at which an attempt of a model is much older than all its answers were."""
    return max(_LEAST_S, _TIMES * lane.slowest_s)


def by_model(works: Iterable[Work]) -> dict[str, list[Work]]:
    """Return requests by their model."""
    found: dict[str, list[Work]] = {}
    for work in works:
        found.setdefault(work.request.model, []).append(work)
    return found


def find_overdue(
    in_flight: Iterable[Work], lane_of: Callable[[str], Lane], now_s: float
) -> tuple[list[Overdue], float | None]:
    """Return the attempts to give up now, by model, and when to look again; None when nothing more can be given up.

    Args:
        in_flight: what is in flight when nothing else is left to send.
        lane_of: returns the lane of a model.
        now_s: the time.
    """
    found: list[Overdue] = []
    looks: list[float] = []
    for model, works in by_model(work for work in in_flight if work.may_straggle).items():
        lane = lane_of(model)
        age_s = most_age_s(lane)
        late = [work for work in works if now_s - work.sent_s >= age_s]
        looks += [work.sent_s + age_s + _SLACK_S for work in works if now_s - work.sent_s < age_s]
        are_few = lane.health.pause is None and len(late) <= _SHARE * lane.answers
        if late and (are_few or open_siblings(lane)):
            found.append(Overdue(lane, late, age_s))
        if late:  # those of a stream that still sends are not given up now, and may be later
            looks.append(now_s + LOOK_AGAIN_S)
    return found, min(looks, default=None)
