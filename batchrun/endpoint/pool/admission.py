"""Which request is sent next to an endpoint, if any. Pure: time is an argument.

After a rate was exceeded nothing is sent for a while. Otherwise models that no other endpoint answers come first: the
others need not wait for these slots. Then the models take turns, and each sends what its `Lane` chooses. A model has no
more than its share of the slots while another could use them: a silent model would take all of them in the end. A model
that is doubted only probes while the others continue. The budget is asked last.
"""

from collections import deque
from collections.abc import Collection

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.bundles import Bundles
from batchrun.endpoint.pool.handover import leave_to, open_siblings
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.pace import Pace
from batchrun.endpoint.pool.room import Canary
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.endpoint.pool.slots import Slots
from batchrun.endpoint.pool.supply import Supply

_WAITING = 4
"""Requests that may wait to be sent again, in times the ceiling, before no fresh requests are taken."""

_WAITING_LEAST = 1_024
"""More than the rows that must be refused in a row until a canary asks, however few slots there are."""


class Admission:
    """Chooses among the requests that no worker of an endpoint holds."""

    def __init__(
        self,
        limit: Slots,
        supply: Supply,
        *,
        endpoint: str = "",
        budget: Budget | None,
        canary: Canary,
        proven: Collection[str] = (),
        is_heard: bool = False,
        has_own_rates: bool = False,
    ) -> None:
        self.limit, self.supply, self.budget = limit, supply, budget
        self._proven = proven
        self._endpoint, self._canary = endpoint, canary
        self._has_own_rates = has_own_rates
        self.is_heard = is_heard
        """Whether the endpoint has ever replied, with whatever status."""
        self.in_flight = 0
        """How many requests are in flight; a bundle is one."""
        self.in_flight_rows = 0
        """The same, with those in a bundle counted one by one: as many answers are bought."""
        self.pace = Pace()
        """How fast requests may leave, where the server has a rate."""
        self.look_again_s: float | None = None
        """When `next` may have something to send, if not now; `next` sets it."""
        self.refused: list[Work] = []
        """The requests that `next` found, and that the budget does not allow."""
        self._cheaper: Collection[Lane] = ()  # at other endpoints, where rows were left that are not allowed here
        self.bundles: Bundles | None = None
        """Takes bundles apart; `settlement` sets it."""
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()  # the next first

    @property
    def is_out_of_budget(self) -> bool:
        """Whether `next` found a request that the budget does not allow."""
        return bool(self.refused)

    @property
    def is_spent(self) -> bool:
        """Whether the budget allows no request here, and a cheaper endpoint that is away is waited for."""
        return any(lane.health.pause is not None for lane in self._cheaper)

    @property
    def lanes(self) -> Collection[Lane]:
        """The lanes of all models that have had a request."""
        return self._lanes.values()

    def lane(self, model: str) -> Lane:
        """Return a model's lane; the endpoint must serve it."""
        if model not in self._lanes:
            self.supply.open(model)
        return self._lanes[model]

    def open(self, queue: SharedQueue) -> Lane:
        """Open the lane of a model, which takes fresh requests from its queue."""
        lane = self._lanes[queue.model] = Lane(queue, self._canary, self, self._endpoint)
        lane.is_proven = queue.model in self._proven
        self._turns.append(lane)
        return lane

    def closed(self, model: str) -> None:
        """Note that nothing more is sent to a model."""
        self._turns.remove(self._lanes[model])
        self.supply.share_memory()

    def sent(self, work: Work) -> None:
        """Note that a request is in flight."""
        self.in_flight += 1
        self.in_flight_rows += len(work.request.members) or 1
        work.sent_bytes = work.size_bytes
        lane = self._lanes[work.request.model]
        lane.in_flight += 1
        lane.in_flight_bytes += work.sent_bytes

    def returned(self, work: Work) -> Lane:
        """Note that a request is no longer in flight; return the lane of its model."""
        self.in_flight -= 1
        self.in_flight_rows -= len(work.request.members) or 1
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
        self.look_again_s, self.refused = None, []
        if self.is_spent:
            return None
        if self.in_flight >= self.limit.current:
            self.look_again_s = self.limit.grow_in_silence(now_s)
            if self.in_flight >= self.limit.current:
                return None
            self.look_again_s = None
        self._cheaper = ()
        if self.pace.rate_per_s is not None and (opens_s := self.pace.opens_s(now_s)) is not None:
            self.look_again_s = opens_s
            return None
        lanes, most = len(self._turns), self.limit.current
        if lanes <= 1:
            return self._next_in_turn(now_s, most)
        only_here = [lane for lane in self._turns if not any(each.is_open for each in lane.siblings)]
        work = None
        if 0 < len(only_here) < lanes:
            work = self._next_in_turn(now_s, most / len(only_here), only_here)
        return work or self._next_in_turn(now_s, most / lanes) or self._next_in_turn(now_s, most)

    def _next_in_turn(self, now_s: float, most: float, among: Collection[Lane] | None = None) -> Work | None:
        """Return the next request of the models, or of those `among` them, that have fewer than `most` in flight."""
        turns = self._turns
        for _ in range(len(turns)):
            lane = turns[0]
            turns.rotate(-1)
            if lane.in_flight >= most or (among is not None and lane not in among):
                continue
            work = lane.next(now_s)
            if work is not None and work.request.members:
                self._cut(lane, work, now_s)
            if work is not None and (self.budget is None or self._afford(lane, work, self.budget, now_s)):
                return work
            if lane.look_again_s is not None and (self.look_again_s is None or lane.look_again_s < self.look_again_s):
                self.look_again_s = lane.look_again_s
        return None

    def _cut(self, lane: Lane, work: Work, now_s: float) -> None:
        """Leave for other requests what a bundle asks for and its model does not give to one."""
        rest = None if self.bundles is None else self.bundles.cut(work)
        if rest is None:
            return
        if rest.attempts:
            lane.backlog.put(rest, now_s)
        else:
            lane.queue.pass_on(rest)

    # The room that lanes have.

    @property
    def most_waiting(self) -> int:
        """How many requests may wait in a lane before it takes no fresh requests."""
        return max(_WAITING * self.limit.ceiling, _WAITING_LEAST)

    @property
    def slots(self) -> int:
        """How many requests may be in flight now."""
        return self.limit.current

    @property
    def use(self) -> float:
        """The share of these slots that are in use."""
        return self.in_flight / max(1, self.limit.current)

    @property
    def free(self) -> int:
        """How many of these slots are free."""
        return max(0, self.limit.current - self.in_flight)

    def sends_at_once(self, now_s: float) -> bool:
        """Return whether a request would be sent now: there is a slot, and no rate holds it back."""
        return self.use < 1 and not self._has_own_rates and not self.pace.is_closed(now_s)

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may still be added."""
        return self.supply.more_to_come

    def _afford(self, lane: Lane, work: Work, budget: Budget, now_s: float) -> bool:
        """Set aside what a request may use; give it back when that is more than is left."""
        work.reserve = budget.reserve(work.request)
        if work.reserve is None:
            self.refused.append(work)
            lane.give_back(work, now_s)
        return work.reserve is not None

    def pass_on_refused(self, now_s: float) -> bool:
        """Leave a request that the budget does not allow here to an endpoint where it costs less, and is allowed.

        Otherwise note the least that it would have needed at any of them, for the message. Return whether one was left.
        """
        return any(self._pass_on(work, budget, now_s) for work in self.refused if (budget := self.budget) is not None)

    def _pass_on(self, work: Work, budget: Budget, now_s: float) -> bool:
        lane, needed = self.lane(work.request.model), budget.worst(work.request)
        for sibling in open_siblings(lane):
            if not isinstance(sibling, Lane) or (its := sibling.room.budget) is None:
                continue
            if its.has_room(work.request) and lane.backlog.take_where(lambda each: each is work):
                leave_to(lane, work, sibling, now_s)
                return True
            needed = min(needed, its.worst(work.request))
        budget.refuse(needed, lacks_tokens=budget.kind == "token_cap")
        return False

    @property
    def can_part(self) -> bool:
        """Whether the budget does not allow a bundle: a part of it may fit."""
        return self.bundles is not None and any(work.request.members for work in self.refused)

    def part_refused(self) -> bool:
        """Halve a bundle that the budget does not allow. Return whether there was one."""
        bundles = self.bundles
        if bundles is None:
            return False
        return any(self._part(work, bundles) for work in self.refused if work.request.members)

    def _part(self, work: Work, bundles: Bundles) -> bool:
        backlog = self.lane(work.request.model).backlog
        if not backlog.take_where(lambda each: each is work):
            return False
        for half in bundles.part(work):
            backlog.put(half, work.sent_s)
        return True

    def wait_for_cheaper(self, now_s: float) -> bool:
        """Leave requests that the budget does not allow here to an endpoint that is away, and where it allows them.

        Nothing is sent here until that is back or closed. Return whether there is one.
        """
        self._cheaper = [lane for work in self.refused if (lane := self._left_to(work, now_s)) is not None]
        return bool(self._cheaper)

    def _left_to(self, work: Work, now_s: float) -> Lane | None:
        """Leave a request to an endpoint that is away and where the budget allows it; return its lane there."""
        lane = self.lane(work.request.model)
        for sibling in lane.siblings:
            if not isinstance(sibling, Lane) or sibling.health.pause is None or (its := sibling.room.budget) is None:
                continue
            if its.has_room(work.request) and lane.backlog.take_where(lambda each: each is work):
                leave_to(lane, work, sibling, now_s)
                return sibling
        return None
