"""The requests of one model: what waits, whether the model is served at all, and which is next. Pure: time is given.

Models of one endpoint fail each for itself: an engine that is down says nothing of the others, and their answers say
nothing of it. So each model has a backlog and a health of its own. The limit, rates and money are everybody's: see
`admission`.

In order: while the model is doubted, probes; else what is due to be sent again, then what was never sent. A row whose
failures would end it, were they its own, is kept back until a success of its model has judged them; when there is
nobody else, a probe must.
"""

from collections.abc import Callable
from typing import Protocol

from batchrun.endpoint.pool.backlog import Backlog, Work
from batchrun.endpoint.pool.brownout import Brownout
from batchrun.endpoint.pool.health import Health
from batchrun.records import Request


class Room(Protocol):
    """What a lane may do, as things stand in all of them."""

    most_bytes: float
    """How much of bodies may be on the way, or wait to be sent again, before no fresh ones are taken."""

    @property
    def most_waiting(self) -> int:
        """How many may wait to be sent again before no fresh ones are taken."""

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may yet come."""


class Lane:
    """One model's requests that no worker holds, and what is known of the model."""

    def __init__(self, model: str, max_attempts: int, canary: Callable[[str], Request], room: Room) -> None:
        """Start with nothing.

        Args:
            model: whose requests these are.
            max_attempts: what a row may spend.
            canary: makes the request that finds out whether a model answers.
            room: see there.
        """
        self.model = model
        self.backlog = Backlog(max_attempts)
        self.health: Health[Work] = Health()
        self.brownout = Brownout(max_attempts)
        self.in_flight = 0
        """How many are on their way."""
        self.in_flight_bytes = 0
        """Their bodies."""
        self.troubled_since_s: float | None = None
        """Since when its requests have failed with no success between; kept by whoever settles them."""
        self.look_again_s: float | None = None
        """When there may be something to send that is not now; set by `next`."""
        self._max_attempts, self._canary, self._room = max_attempts, canary, room
        self._probes: set[Work] = set()  # under way

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self.backlog.fresh or self.backlog.again or self.backlog.parked)

    @property
    def is_held_up(self) -> bool:
        """Whether it takes no fresh requests for now, but to probe."""
        return self.health.pause is not None or not self._has_place

    @property
    def _has_place(self) -> bool:
        return self.backlog.again + self.backlog.parked < self._room.most_waiting

    @property
    def _has_room(self) -> bool:
        """Whether the memory has room for a fresh request, or nothing else would ever be sent."""
        held_bytes = self.in_flight_bytes + self.backlog.kept_bytes
        return held_bytes < self._room.most_bytes or not (self.in_flight or self.backlog.again)

    def next(self, now_s: float) -> Work | None:
        """Return the request to send now; None when there is none."""
        self.look_again_s = None
        if self.health.pause is not None:
            return self._next_probe(now_s)
        if not (self.backlog.again or self.backlog.parked):
            return self._take_fresh()
        work = self.backlog.take_due(now_s)
        if work is not None:
            return work
        self.look_again_s = self.backlog.due_s
        if self._has_place:
            work = self._take_fresh()
        if work is not None or self.in_flight or self.backlog.again:
            return work
        if not self.backlog.fresh and self._room.more_to_come:
            return None  # and what comes may tell
        kept_back = next(iter(self.backlog))
        self.health.doubt(kept_back.kind, kept_back.message, now_s)
        return self._next_probe(now_s)

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
        """Return the request that finds out whether the endpoint answers again."""
        if now_s < self.health.probe_at_s:
            self.look_again_s = self.health.probe_at_s
            return None
        probe = self._make_canary() if self.health.wants_canary else None
        probe = probe or self._take_fresh() or self.backlog.take_where(self._is_unsuspected)
        if probe is None and (self.backlog.fresh or not self._room.more_to_come):  # with no room, or with none left
            is_suspects_turn = self.health.is_canary_refuted and not self._probes
            probe = (self.backlog.take_any() if is_suspects_turn else None) or self._make_canary()
        if probe is not None:
            self._probes.add(probe)
            self.health.probed(now_s)
        return probe

    def _take_fresh(self) -> Work | None:
        return self.backlog.take_fresh() if self.backlog.fresh and self._has_room else None

    def _is_unsuspected(self, work: Work) -> bool:
        return work not in self.health.suspects

    def _make_canary(self) -> Work | None:
        """Return a request that is no row's, while there is a suspect; one at a time."""
        if next(iter(self.backlog), None) is None or any(work.is_canary for work in self._probes):
            return None
        return Work(self._canary(self.model), self._max_attempts, is_canary=True)
