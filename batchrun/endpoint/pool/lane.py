"""The requests of one model at one endpoint: which wait, whether the model answers, which is next. Pure: time is given.

The models of an endpoint fail separately: a model that is down says nothing about the others. So each model has its own
backlog and its own health. All models share the limit, the rates and the money: see `admission`. The lanes of a model
at several endpoints are siblings: they take fresh requests from one queue.

The order: while the model is doubted, probes. Otherwise requests that are due to be sent again, then fresh requests. A
row that has failed so often that it would end as failed, or was refused, is held back until a success of its model
shows whether it was at fault. When no other row is left, a probe must show it.
"""

from collections.abc import Sequence
from math import inf

from batchrun.endpoint.pool.apart import Apart
from batchrun.endpoint.pool.backlog import Backlog, Work
from batchrun.endpoint.pool.brownout import Brownout
from batchrun.endpoint.pool.health import Health
from batchrun.endpoint.pool.rejections import Rejections
from batchrun.endpoint.pool.room import Canary, Room, Sibling
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.records import Request

_YIELD_S = 1.0
"""How much later a row is due that lets a fresh one go first."""


class Lane:
    """One model's requests at one endpoint that no worker holds, and what is known about the model there."""

    def __init__(self, queue: SharedQueue, canary: Canary, room: Room, endpoint: str = "") -> None:
        """Begin without requests.

        Args:
            queue: the requests of the model that were never sent.
            canary: makes the request that finds out whether a model answers.
            room: what the lane may do.
            endpoint: name of the endpoint.
        """
        self.model, self.queue, self.endpoint = queue.model, queue, endpoint
        self.siblings: Sequence[Sibling] = ()
        """The lanes of the model at other endpoints."""
        self.backlog = Backlog()
        self.health: Health[Work] = Health()
        self.brownout = Brownout(queue.max_attempts)
        self.rejections: Rejections[Work] = Rejections()
        self.apart = Apart(queue.held)
        self.in_flight = 0
        """How many requests are in flight."""
        self.in_flight_bytes = 0
        """Bytes of their bodies."""
        self.most_bytes = inf
        """Bytes of bodies that may be in flight or wait to be sent again before no fresh requests are taken."""
        self.troubled_since_s: float | None = None
        """Since when its requests have failed with no success between; `settlement` ends it."""
        self._silent_since_s = -inf  # and since when nothing was answered: a request that timed out shows it
        self.is_closed = False
        """Whether nothing more is sent; `close` sets it."""
        self.is_proven = False
        """Whether a row of the model was ever answered: then the job itself is not what makes it fail."""
        self.answered_request: Request | None = None
        """The request of a row that was answered: it can be asked once more when no fresh row is left to ask."""
        self.answers = 0
        """How many requests were answered."""
        self.worked_s = -inf
        """When the latest of the requests was sent that were answered."""
        self.slowest_s = 0.0
        """The longest time that an answer took."""
        self._answers_s = 0.0  # the time that all answers took, summed
        self._answered_s = -inf  # when the last one came
        self.look_again_s: float | None = None
        """When `next` may have something to send, if not now; `next` sets it."""
        self._canary, self.room = canary, room
        self._probes: set[Work] = set()  # under way

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self.queue or self.backlog.is_waiting or self.apart.held)

    @property
    def is_open(self) -> bool:
        """Whether rows are sent: it is neither closed nor paused, and the caps leave room."""
        return not self.is_closed and self.health.pause is None and not self.room.is_spent

    @property
    def is_held_up(self) -> bool:
        """Whether it takes no fresh requests now, except as probes."""
        return self.health.pause is not None or not self._has_place

    @property
    def _has_place(self) -> bool:
        return self.backlog.waiting + len(self.apart.held) < self.room.most_waiting

    @property
    def has_fresh(self) -> bool:
        """Whether there are rows that were never sent, as far as is known."""
        return bool(self.queue) or self.room.more_to_come

    @property
    def takes_fresh(self) -> bool:
        """Whether rows that were never sent can show more once the model is not doubted any more."""
        return self.has_fresh and self._has_place

    @property
    def can_ask_row(self) -> bool:
        """Whether there is a row to ask whose the refusals are: a fresh one, or one that was answered before."""
        return self.takes_fresh or (not self.has_fresh and self.answered_request is not None)

    @property
    def _has_room(self) -> bool:
        """Whether memory has room for a fresh request, or nothing else could be sent."""
        held_bytes = self.in_flight_bytes + self.backlog.kept_bytes
        return held_bytes < self.most_bytes or not (self.in_flight or self.backlog.again)

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send: all that is open is in flight, or waits for a verdict."""
        return not (self.queue or self.backlog.again or self.apart.held)

    def failed(self, now_s: float, age_s: float) -> None:
        """Note that a request has failed, `age_s` after it was sent."""
        if self.troubled_since_s is None:
            self.troubled_since_s = now_s
            self._silent_since_s = max(now_s - age_s, self._answered_s)

    def quiet_s(self, now_s: float) -> float:
        """Return for how long its requests have failed with no success between; 0 while they have not.

        While one request fails, others may still be answered. When the model is paused, all of them have failed, and
        the time counts since the first of them was sent.
        """
        if self.troubled_since_s is None:
            return 0.0
        is_silent = self.health.pause is not None and not self.health.pause.asks
        return now_s - (self._silent_since_s if is_silent else self.troubled_since_s)

    def answered(self, latency_s: float, now_s: float) -> None:
        """Note that a request was answered."""
        self.answers += 1
        self._answered_s = now_s
        self._answers_s += latency_s
        self.worked_s = max(self.worked_s, now_s - latency_s)
        if latency_s > self.slowest_s:
            self.slowest_s = latency_s

    @property
    def has_answered(self) -> bool:
        """Whether the model has ever answered anything: a row, also in an earlier execution, or a canary."""
        return self.is_proven or self.answers > 0

    @property
    def usual_s(self) -> float:
        """The mean time of an answer; before the first, the longest of those elsewhere, infinite without any."""
        if self.answers:
            return self._answers_s / self.answers
        return max((each.usual_s for each in self.siblings if each.answers), default=inf)

    @property
    def due_s(self) -> float | None:
        """When the first request that waits to be sent again is due."""
        return self.backlog.due_s

    def put(self, work: Work, due_s: float) -> None:
        """Have a request sent, at `due_s` at the earliest."""
        self.backlog.put(work, due_s)

    def close(self) -> None:
        """Drop all that waits, and what is known about it: nothing more is sent."""
        self.is_closed = True
        if all(lane.is_closed for lane in self.siblings):
            self.queue.close()
        self.backlog = Backlog()
        self.health, self.apart = Health(), Apart(self.queue.held)
        self.troubled_since_s = None
        self._probes.clear()
        self.room.closed(self.model)

    def next(self, now_s: float) -> Work | None:
        """Return the request to send now; None without one."""
        self.look_again_s = None
        if self.health.pause is not None:
            return self._next_probe(now_s)
        if self.apart.alone is not None:
            work = self.apart.take_alone(self.backlog, now_s)
            if work is not None or self.apart.holds_others(self.in_flight, now_s):
                self.look_again_s = self.apart.alone_until_s
                return work
        if not (self.backlog.is_waiting or self.apart.held):
            return self._take_fresh()
        work = self._take_due(now_s)
        if work is not None:
            return work
        self.look_again_s = self.backlog.due_s
        if self._has_place:
            work = self._take_fresh()
        if work is not None or self.in_flight or self.backlog.again:
            return work
        if not self.queue and self.room.more_to_come:
            return None  # and the next fresh request may show it
        kept_back = next(iter(self.backlog))
        asks = kept_back in self.health.refusals
        self.health.doubt(kept_back.kind, kept_back.message, now_s, asks=asks)
        return self._next_probe(now_s)

    def _take_due(self, now_s: float) -> Work | None:
        """Return the next request that is due, or one that must be sent apart from others."""
        work = self.backlog.take_due(now_s)
        while work is not None and self.apart.is_for(work):
            self.apart.hold(work)
            work = self.backlog.take_due(now_s)
        if work is not None and self.rejections.must_yield(work):
            instead = self._take_fresh()
            if instead is not None:
                self.backlog.put(work, now_s + _YIELD_S)
                return instead
        is_idle = not (self.in_flight or self.backlog.again or self.queue)
        return work or self.apart.take(now_s, is_idle=is_idle)

    def ends_probe(self, work: Work) -> bool:
        """Note that an attempt has ended; return whether it was a probe."""
        if work not in self._probes:
            return False
        self._probes.remove(work)
        return True

    def give_back(self, work: Work, now_s: float) -> None:
        """Take back a request that was not sent."""
        self.ends_probe(work)
        if not work.is_canary:
            self.backlog.put(work, now_s)

    def _next_probe(self, now_s: float) -> Work | None:
        """Return the request that finds out whether the model answers again."""
        if now_s < self.health.probe_at_s:
            self.look_again_s = self.health.probe_at_s
            return None
        probe = self._choose_probe()
        if probe is not None:
            self._probes.add(probe)
            self.health.probed(now_s)
        return probe

    def _choose_probe(self) -> Work | None:
        if self._is_spare:
            return None if self._probes or not self.has_fresh else self._new_canary()
        if self.health.wants_row and (self.in_flight or self.room.more_to_come):
            return None  # what is in flight may show it; the rows to ask are the last of those that can be read
        probe = self._take_row_to_ask() if self.health.wants_row else None
        probe = probe or (self._make_canary() if self.health.wants_canary else None)
        probe = probe or self._take_fresh() or self.backlog.take_where(lambda each: not self.is_suspect(each))
        if probe is None and (self.queue or not self.room.more_to_come):  # no room for a fresh request, or none left
            is_suspects_turn = self.health.is_suspects_turn and not self._probes
            probe = (self.backlog.take_any() if is_suspects_turn else None) or self._make_canary()
        return probe

    @property
    def _is_spare(self) -> bool:
        """Whether another endpoint answers the rows meanwhile: then only canaries probe, since a row might hang.

        A server that answers rows and breaks at canaries gets a row after several of them, where there is one.
        """
        pause = self.health.pause
        asks = pause is not None and pause.asks
        is_rows_turn = self.health.is_suspects_turn and (self.queue or self.backlog.is_waiting)
        return not (asks or is_rows_turn) and any(lane.is_open for lane in self.siblings)

    def _take_fresh(self) -> Work | None:
        return self.queue.take() if self._has_room else None

    def _take_row_to_ask(self) -> Work | None:
        """Return the row that shows whose the refusals are: the last fresh one, or an answered one, once more."""
        is_repeat = self.answered_request is not None and self.health.refusals.are_fresh_rows_refused
        if self.queue and not is_repeat:
            return self.queue.take_last()
        if self.answered_request is None or not self._may_ask:
            return None
        work = Work(self.answered_request, self.queue.max_attempts, is_canary=True)
        work.is_repeat = True
        return work

    def is_suspect(self, work: Work) -> bool:
        """Return whether a row may be the reason for failures."""
        return work in self.health.suspects or self.apart.suspects(work)

    @property
    def _may_ask(self) -> bool:
        """Whether a row waits for its verdict and no canary is under way: one is sent at a time."""
        is_asked_for = self.backlog.is_waiting or self.apart.held or self.health.refusals.are_left
        return bool(is_asked_for) and not any(work.is_canary for work in self._probes)

    def _make_canary(self) -> Work | None:
        return self._new_canary() if self._may_ask else None

    def _new_canary(self) -> Work:
        pause = self.health.pause
        asks = pause is not None and pause.asks
        is_bare = self.health.refusals.is_bare if asks else self.is_proven
        return Work(self._canary(self.model, is_bare=is_bare), self.queue.max_attempts, is_canary=True)
