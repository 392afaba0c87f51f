"""Leaves rows of one endpoint to the others that serve their model. Pure.

Theory of operation. While one endpoint of several is away, its rows need not wait: as soon as an outage is confirmed,
or a probe takes much longer than any answer did, what waits there goes back to the queue of its model, in front of all
fresh rows, and the first endpoint with a slot takes it. So do the rows of a model that is closed at an endpoint, and
those that were in flight there, when they come back. Where no other endpoint answers, the rows stay. They leave when
the first endpoint is back.

A row that changes its endpoint pays nothing, and it is not suspected any more: the others judge it by what they see.
Only what is known about rows that may take servers down goes with them.

A rejected row need not wait where another endpoint has a slot. So after its first rejection it is left to all. Later
it stays where it was rejected, because only the same endpoint can show that it rejects the row for
itself, for ever.

A row that waits for the user's own rate of an endpoint is left to all when another endpoint has nothing else to send.
"""

from collections.abc import Iterable, Sequence

from batchrun.endpoint.pool.apart import is_condemned
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.lane import Lane
from batchrun.records import Attempted

_LATE_S = 2.0
"""Shortest time after which a probe is late: many failures in a row are often a restart, which takes no longer."""

_TIMES = 2.0
"""After how many times the slowest answer a probe is late. It is an answer too: so even where each probe takes longer
than all rows, rows that fail everywhere are not left from one endpoint to the next for ever."""


def open_siblings(lane: Lane) -> Sequence[Lane]:
    """Return the lanes of the model at other endpoints that answer, the least used first."""
    return sorted((each for each in lane.siblings if each.is_open), key=lambda each: each.room.use)


def is_wanted_elsewhere(lane: Lane, now_s: float) -> bool:
    """Return whether another endpoint would send a row of the model now, and has none to send."""
    return not lane.queue and any(each.room.sends_at_once(now_s) for each in open_siblings(lane))


def leaves_s(lane: Lane) -> float | None:
    """Return from when on what waits in a lane is left to other endpoints; None as long as it stays."""
    pause = lane.health.pause
    if pause is None or not lane.backlog.is_waiting or not open_siblings(lane):
        return None
    if pause.is_outage:
        return pause.began_s
    return None if pause.asks else pause.began_s + max(_LATE_S, _TIMES * lane.slowest_s)


def leave_all(lane: Lane) -> Iterable[Work]:
    """Leave what waits in a lane that is paused to other endpoints; yield the rows to blame for its outages."""
    pause = lane.health.pause
    for work in lane.backlog.take_all():
        suspicion = lane.health.suspects.get(work)
        if pause is not None and suspicion is not None and suspicion.first_sent_s <= pause.since_s:
            lane.apart.was_present(work, pause.since_s - suspicion.first_sent_s)
        if is_condemned(work, lane.brownout.least_trials) and work.failure is not None:
            lane.health.forget(work)
            yield work
        else:
            leave(lane, work)


def leave(lane: Lane, work: Work) -> None:
    """Leave a row to all endpoints that serve its model."""
    _forget(lane, work)
    if lane.apart.suspects(work):
        lane.apart.hold(work)
    else:
        lane.queue.pass_on(work)


def leave_to(lane: Lane, work: Work, sibling: Lane, due_s: float) -> None:
    """Leave a row to another endpoint."""
    _forget(lane, work)
    sibling.backlog.put(work, due_s)


def _forget(lane: Lane, work: Work) -> None:
    """Forget what is known about a row at an endpoint that it leaves."""
    lane.health.forget(work)
    lane.health.refusals.forget([work])
    lane.rejections.forget(work)
    lane.apart.left(work)
    work.setbacks, work.failure, work.endpoint = 0, None, lane.endpoint
    _, attempts, throttled = zip(("", 0, 0), *work.elsewhere, strict=True)
    here = (lane.endpoint, work.attempts - sum(attempts), work.throttled - sum(throttled))
    work.elsewhere = (*work.elsewhere, here)


def corrections(work: Work, endpoint: str) -> Iterable[Attempted]:
    """Yield what makes the counts of endpoints right for a row that ends at one, and was sent to others before.

    All its attempts are in its outcome, and so count where it ends.
    """
    for earlier, attempts, throttled in work.elsewhere:
        if earlier != endpoint and attempts:
            yield Attempted(work.request.model, attempts, throttled, earlier)
            yield Attempted(work.request.model, -attempts, -throttled, endpoint)
