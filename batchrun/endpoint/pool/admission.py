"""Which request is sent next, if any. Pure: time is an argument.

After a rate was exceeded nothing is sent for a while. Otherwise the models take turns, and each sends what its `Lane`
chooses. A model has no more than its share of the slots while another could use them: a silent model would take all of
them in the end. A model that is doubted only probes while the others continue. The budget is asked last.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.lane import Canary, Lane
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pace import Pace
from batchrun.records import Request

_READY = 64
"""Fewest requests that should be ready to send; more when the limit is higher."""

_WAITING = 4
"""Requests that may wait to be sent again, in times the ceiling, before no fresh requests are taken."""

_WAITING_LEAST = 1_024
"""More than the rows that must be refused in a row until a canary asks, however few slots there are."""

_READY_BYTES = 32 << 20
_HELD_BYTES = 512 << 20
"""Bytes of request bodies that may be ready to be sent, and that may be in flight or wait for another attempt: a few
hundred bodies with images would fill the memory. One request may always be sent."""

_READ_AHEAD = 32_768
_READ_AHEAD_BYTES = 128 << 20
"""Requests, and their bytes, of models that do not answer that may be ready while others continue. Then all wait."""


class Admission:
    """Chooses among the requests that no worker holds."""

    def __init__(
        self,
        limit: Limit,
        *,
        max_attempts: int,
        budget: Budget | None,
        canary: Canary,
        proven: Collection[str] = (),
    ) -> None:
        self.limit, self.budget = limit, budget
        self._proven = proven
        self._max_attempts, self._canary = max_attempts, canary
        self.in_flight = 0
        """How many requests are in flight."""
        self.is_fed = False
        """Whether the last fresh request has been added."""
        self.pace = Pace()
        """How fast requests may leave, where the server has a rate."""
        self.look_again_s: float | None = None
        """When `next` may have something to send, if not now; `next` sets it."""
        self.is_out_of_budget = False
        """Whether `next` found a request that the budget does not allow."""
        self.most_bytes = float(_HELD_BYTES)
        """How many bytes of bodies each model may hold."""
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()  # the next first

    @property
    def lanes(self) -> Collection[Lane]:
        """The lanes of all models that have had a request."""
        return self._lanes.values()

    def lane(self, model: str) -> Lane:
        """Return a model's lane."""
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._lanes[model] = Lane(model, self._max_attempts, self._canary, self)
            lane.is_proven = model in self._proven
            self._turns.append(lane)
            self._share_memory()
        return lane

    def _share_memory(self) -> None:
        self.most_bytes = _HELD_BYTES / max(1, len(self._turns))

    def extend(self, requests: Iterable[Request]) -> None:
        """Add fresh requests."""
        by_model = defaultdict(list)
        for request in requests:
            by_model[request.model].append(request)
        for model, its in by_model.items():
            self.lane(model).extend(its)

    @property
    def is_open(self) -> bool:
        """Whether any model takes requests."""
        return bool(self._turns)

    def close(self, lane: Lane) -> None:
        """Send nothing more to a model."""
        lane.close()
        self._turns.remove(lane)
        self._share_memory()

    @property
    def is_hungry(self) -> bool:
        """Whether more fresh requests should be added: a model has too few, or no known model answers."""
        fresh = size_bytes = 0
        is_starving, are_all_held_up = False, True
        for lane in self._turns:
            fresh += lane.backlog.fresh
            size_bytes += lane.backlog.fresh_bytes
            if not lane.is_held_up:
                are_all_held_up = False
                is_starving = is_starving or self._is_starving(lane)
        has_place = fresh < _READ_AHEAD and size_bytes < _READ_AHEAD_BYTES
        return (is_starving or are_all_held_up) and (has_place or not fresh)

    def _is_starving(self, lane: Lane) -> bool:
        fresh = lane.backlog.fresh
        return not fresh or (
            lane.backlog.fresh_bytes < _READY_BYTES and (fresh <= _READY or fresh <= self.limit.current)
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left and nothing more will be added."""
        return self.is_fed and all(lane.is_empty for lane in self._turns)

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send, and nothing more will be added."""
        return self.is_fed and all(lane.is_sent for lane in self._turns)

    def sent(self, work: Work) -> None:
        """Note that a request is in flight."""
        self.in_flight += 1
        work.sent_bytes = work.size_bytes
        lane = self._lanes[work.request.model]
        lane.in_flight += 1
        lane.in_flight_bytes += work.sent_bytes

    def returned(self, work: Work) -> Lane:
        """Note that a request is no longer in flight; return the lane of its model."""
        self.in_flight -= 1
        lane = self._lanes[work.request.model]
        lane.in_flight -= 1
        lane.in_flight_bytes -= work.sent_bytes
        return lane

    def give_back(self, work: Work, now_s: float) -> None:
        """Take back a request that `next` returned and that was not sent."""
        if work.reserve is not None and self.budget is not None:
            self.budget.give_back(work.reserve)
            work.reserve = None
        self.lane(work.request.model).give_back(work, now_s)

    def next(self, now_s: float) -> Work | None:
        """Return the request to send now; None without a slot or without a request."""
        self.look_again_s = None
        self.is_out_of_budget = False
        if self.in_flight >= self.limit.current:
            return None
        if self.pace.rate_per_s is not None and (opens_s := self.pace.opens_s(now_s)) is not None:
            self.look_again_s = opens_s
            return None
        lanes, most = len(self._turns), self.limit.current
        work = self._next_in_turn(now_s, most / lanes) if lanes > 1 else None
        return work or self._next_in_turn(now_s, most)

    def _next_in_turn(self, now_s: float, most: float) -> Work | None:
        """Return the next request of the models that have fewer than `most` in flight."""
        turns = self._turns
        for _ in range(len(turns)):
            lane = turns[0]
            turns.rotate(-1)
            if lane.in_flight >= most:
                continue
            work = lane.next(now_s)
            if work is not None and (self.budget is None or self._afford(lane, work, self.budget, now_s)):
                return work
            if lane.look_again_s is not None and (self.look_again_s is None or lane.look_again_s < self.look_again_s):
                self.look_again_s = lane.look_again_s
        return None

    # The room that lanes have.

    @property
    def most_waiting(self) -> int:
        """How many requests may wait in a lane before it takes no fresh requests."""
        return max(_WAITING * self.limit.ceiling, _WAITING_LEAST)

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may still be added."""
        return not self.is_fed and self.is_hungry

    def _afford(self, lane: Lane, work: Work, budget: Budget, now_s: float) -> bool:
        """Set aside what a request may use; give it back when that is more than is left."""
        work.reserve = budget.reserve(work.request)
        self.is_out_of_budget = work.reserve is None
        if work.reserve is None:
            lane.give_back(work, now_s)
        return not self.is_out_of_budget
