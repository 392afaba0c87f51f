"""Leaves rows of one endpoint to the others that serve their model. Pure.

Theory of operation. While one endpoint of several is away, its rows need not wait: as soon as an outage is confirmed,
or a probe takes much longer than any answer did, what waits there goes back to the queue of its model, in front of all
fresh rows, and the first endpoint with a slot takes it. So do the rows of a model that is closed at an endpoint, and
those that were in flight there, when they come back. While it is found out whether an endpoint refuses everybody, what
waits there goes on too, and so do rows that it refused for a reason that is not about their content. Where no other
endpoint answers, the rows stay. They leave when the first endpoint is back.

A row that changes its endpoint pays nothing, and it is not suspected any more: the others judge it by what they see.
Only what is known about rows that may take servers down goes with them.

A rejected row need not wait where another endpoint has a slot. So after its first rejection it goes there, or is left
to all where none has one. Later it stays where it was rejected, because only the same endpoint can show that it rejects
the row for itself, for ever.

Only where another endpoint has nothing else to send does a row go there that would wait for long, because
the server named a rate or a time. What its rejections have shown stays known at each endpoint. A row that failed in
another way goes only where it never was: it pays nothing for that, and may fail everywhere for itself.

A row that waits for the user's own rate of an endpoint is left to all when another endpoint has nothing else to send.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from math import inf

from batchrun.endpoint.pool.apart import is_condemned
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.room import Sibling
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRow
from batchrun.records import Attempted, Outcome

_LATE_S = 2.0
"""Shortest time after which a probe is late: many failures in a row are often a restart, which takes no longer."""

_TIMES = 2.0
"""After how many times the slowest answer a probe is late. It is an answer too: so even where each probe takes longer
than all rows, rows that fail everywhere are not left from one endpoint to the next for ever."""


_LONG_S = 2.0
"""Wait from which a row goes elsewhere: a row that found no slot never waits longer."""


def open_siblings(lane: Lane) -> Sequence[Sibling]:
    """Return the lanes of the model at other endpoints that answer, the least used first."""
    return sorted((each for each in lane.siblings if each.is_open), key=lambda each: each.room.use)


def is_wanted_elsewhere(lane: Lane, now_s: float) -> bool:
    """Return whether another endpoint would send a row of the model now, and has none to send."""
    return not lane.queue and any(each.room.sends_at_once(now_s) for each in open_siblings(lane))


def leaves_s(lane: Lane) -> float | None:
    """Return from when on what waits in a lane is left to other endpoints; None as long as it stays."""
    return given_up_s(lane) if lane.backlog.is_waiting and open_siblings(lane) else None


def given_up_s(lane: Lane) -> float | None:
    """Return from when on rows need not wait for a lane if others answer them; None while they do, or it answers."""
    pause = lane.health.pause
    if pause is None or (pause.asks and not pause.is_outage):
        return None
    return pause.began_s if pause.is_outage else pause.began_s + max(_LATE_S, _TIMES * lane.slowest_s)


def leave_waiting(lanes: Iterable[Lane], now_s: float, *, is_closed: bool) -> tuple[list[Work], float | None]:
    """Leave rows that wait at an endpoint to others.

    Args:
        lanes: of the endpoint.
        now_s: the time.
        is_closed: whether a rate holds everything back there.

    Returns:
        The rows to blame for outages, and when to look again.
    """
    to_blame: list[Work] = []
    again_s = inf
    for lane in lanes:
        due_s = leaves_s(lane)
        if is_asking(lane):
            leave_refused(lane)
        elif due_s is None:
            leave_rejected(lane, now_s, is_closed=is_closed)
        elif due_s > now_s:
            again_s = min(again_s, due_s)
        else:
            to_blame += leave_all(lane)
    return to_blame, None if again_s == inf else again_s


def is_asking(lane: Lane) -> bool:
    """Return whether it is to be found out whether an endpoint refuses everybody, while others answer."""
    pause = lane.health.pause
    return pause is not None and pause.asks and not pause.is_outage and bool(open_siblings(lane))


def leave_refused(lane: Lane) -> None:
    """Leave what waits where an endpoint may refuse everybody, but rows that were refused for their content.

    A refused row leaves once: where others refuse it too, it may be the row's, and it stays until that is known.
    """
    refused = {*lane.health.refusals.release(lambda work: not work.elsewhere)} if lane.backlog.parked else set()
    for work in lane.backlog.take_each(lambda work: work in refused or not lane.is_suspect(work)):
        leave(lane, work)


def leave_at_once(lane: Lane, work: Work, wait_s: float, now_s: float, *, is_closed: bool) -> None:
    """Leave a row that was rejected for the first time to an endpoint that has a slot, or else to all.

    Where it was rejected it would be taken at once if that has the most free slots. So it is not left to all where it
    has to wait for long there.

    Args:
        lane: where it was rejected.
        work: the row.
        wait_s: how long it would wait there.
        now_s: the time.
        is_closed: whether a rate holds everything back there.
    """
    others = [each for each in open_siblings(lane) if isinstance(each, Lane)]
    free = [each for each in others if each.room.sends_at_once(now_s) and each.room.free > each.backlog.again]
    if free or (others and wait_s > _LONG_S and not is_closed):
        leave_to(lane, work, (free or others)[0], now_s)
    else:
        leave(lane, work)


def leave_rejected(lane: Lane, now_s: float, *, is_closed: bool) -> None:
    """Leave rows that would wait for long to endpoints that have slots and nothing else to send.

    What their rejections have shown here stays known: so a row that is rejected everywhere fails in the end.

    Args:
        lane: of a model that is sent rows.
        now_s: the time.
        is_closed: whether a rate holds everything back at the endpoint.
    """
    if lane.queue or not lane.backlog.again:
        return
    after_s = -inf if is_closed else now_s + _LONG_S
    for sibling in open_siblings(lane):
        is_idle = sibling.room.sends_at_once(now_s) and (sibling.due_s or inf) > now_s
        for _ in range(sibling.room.free if is_idle else 0):
            work = lane.backlog.take_later(after_s, partial(_may_leave, lane, sibling))
            if work is None:
                return
            leave_to(lane, work, sibling, now_s, keeps_doubt=True)


def _may_leave(lane: Lane, sibling: Sibling, work: Work) -> bool:
    if not work.kind or lane.apart.suspects(work):
        return False
    if EFFECTS[work.kind].row is ForRow.AGAIN_FREE:
        return True
    return isinstance(sibling, Lane) and all(endpoint != sibling.endpoint for endpoint, *_ in work.elsewhere)


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


def leave_to(lane: Lane, work: Work, sibling: Sibling, due_s: float, *, keeps_doubt: bool = False) -> None:
    """Leave a row to another endpoint; `keeps_doubt`: what its rejections have shown stays known."""
    _forget(lane, work, keeps_doubt=keeps_doubt)
    sibling.put(work, due_s)


def _forget(lane: Lane, work: Work, *, keeps_doubt: bool = False) -> None:
    """Forget what is known about a row at an endpoint that it leaves."""
    lane.health.forget(work)
    lane.health.refusals.forget([work])
    if not keeps_doubt:
        lane.rejections.forget(work)
    lane.apart.left(work)
    work.setbacks, work.failure, work.endpoint = 0, None, lane.endpoint
    work.elsewhere = (*work.elsewhere, work.here(lane.endpoint))


def end_everywhere(lane: Lane, work: Work, outcome: Outcome) -> Iterable[Attempted]:
    """Forget a row that ends, and was sent to several endpoints or models; yield what makes the counts of these right.

    All its attempts are in its outcome, and so count at the source of that.

    Args:
        lane: that it was sent in last.
        work: the row.
        outcome: how it ends.
    """
    for each in lane.siblings:
        if isinstance(each, Lane):  # other machines forget it themselves
            each.rejections.forget(work)
    model, ended_at = outcome.model, (outcome.endpoint, outcome.answered_by)
    fallback = "" if work.first is None else work.request.model
    of_fallback = [(each, fallback) for each in (*work.elsewhere, work.here(lane.endpoint))]
    for (endpoint, attempts, throttled), asked in (*((each, "") for each in work.before), *of_fallback):
        if (endpoint, asked) != ended_at and attempts:
            yield Attempted(model, attempts, throttled, endpoint, asked)
            yield Attempted(model, -attempts, -throttled, *ended_at)
