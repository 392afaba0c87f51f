"""A pool whose rows are leased: another process gives it rows, may take some back, and knows about other machines.

Theory of operation. Where each machine has an endpoint of its own, this pool cannot ask the others. In each lane an
`Elsewhere` stands for them, as one more sibling. So all that a lane does for siblings it does for them too: when its
endpoint is away, it leaves its rows to others, and it probes with canaries. What is left and can be sent by nobody here
is handed back, with what is known about rows that may take servers down.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.elsewhere import Abroad, Danger, Elsewhere, Left
from batchrun.endpoint.pool.handover import given_up_s
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.route import Route
from batchrun.endpoint.pool.rules import Listeners
from batchrun.records import Request, Stop


class LeasedPool(Pool):
    """A pool in a worker of a cluster."""

    def __init__(
        self, routes: Sequence[Route], listeners: Listeners, *, is_one_of_many: bool = False, **settings: Any
    ) -> None:
        """Prepare; `run` starts.

        Args:
            routes: the endpoints.
            listeners: what to report to.
            is_one_of_many: whether other machines have endpoints of their own, so that rows may be handed back.
            settings: see `Pool`.
        """
        self._abroad: dict[str, Elsewhere] = {}
        others: Callable[[str], Sequence[Elsewhere]] | None = self._others if is_one_of_many else None
        super().__init__(routes, listeners, elsewhere=others, **settings)

    def _others(self, model: str) -> Sequence[Elsewhere]:
        return [self._abroad.setdefault(model, Elsewhere())]

    def note_dry(self, is_dry: bool) -> None:
        """Note whether no requests come for now: then what is left is settled without them."""
        self._supply.is_dry = is_dry

    def note_abroad(self, models: Mapping[str, Abroad]) -> None:
        """Note which models are answered on other machines; the others are not."""
        for model, elsewhere in self._abroad.items():
            elsewhere.is_open, elsewhere.is_closed, elsewhere.is_heard = models.get(model, (False, True, False))

    def close(self, model: str, stop: Stop) -> None:
        """Send nothing more to a model, wherever it is served; its rows stay open."""
        if model in self._abroad:
            self._abroad[model].is_closed = True
        for lane in self._supply.open(model):
            if lane.is_closed:  # here it was before
                for work in lane.queue:
                    self._closure.leave_open(work, lane.endpoint)
                lane.queue.close()
            self._closure.close(lane, stop)
        self._finish_if_done()

    @property
    def can_part(self) -> bool:
        """Whether the budget does not allow a bundle, half of which may fit."""
        return any(sender.admission.can_part for sender in self.routes)

    def part_refused(self) -> None:
        """Halve the bundles that the budget does not allow: no process has more."""
        for sender in self.routes:
            sender.admission.part_refused()

    def take_over(self, request: Request, danger: Danger) -> None:
        """Add a row that another machine has handed back."""
        lane = self._supply.open(request.model)[0]
        work = Work(request, lane.queue.max_attempts)
        work.beginnings, work.trials, work.survived_s, work.is_shared = danger
        lane.queue.is_read = True
        if lane.apart.suspects(work):
            lane.apart.hold(work)
        else:
            lane.queue.pass_on(work)

    @property
    def given_up(self) -> frozenset[str]:
        """The models whose rows need not wait here if other machines can send them."""
        now_s = self._loop.time()
        lanes: dict[str, list[Lane]] = {}
        for lane in self._supply.lanes:
            lanes.setdefault(lane.model, []).append(lane)
        return frozenset(
            model
            for model, its in lanes.items()
            if model in self._abroad and all(_is_given_up(each, now_s) for each in its)
        )

    def hand_back(self) -> list[Left]:
        """Give up the rows that only other machines can send now; return them."""
        left: list[Left] = []
        given_up = self.given_up
        for queue in self._supply.queues:
            elsewhere = self._abroad.get(queue.model)
            if elsewhere is None or queue.is_closed:
                continue
            works, elsewhere.left = elsewhere.left, []
            if elsewhere.is_open and queue.model in given_up:
                while (work := queue.take()) is not None:
                    works.append(work)
                works += queue.held
                queue.held.clear()
            for work in works:
                if work.first is None:
                    left += self._left(work)
                else:  # only this process knows how its first model has failed
                    queue.pass_on(work)
        return left

    def _left(self, work: Work) -> Iterator[Left]:
        self._closure.leave_open(work, work.endpoint)
        danger = Danger(work.beginnings, work.trials, work.survived_s, work.is_shared) if work.beginnings else None
        for each in work.request.rows:
            yield Left(each.row, each.model, each.sample, danger)


def _is_given_up(lane: Lane, now_s: float) -> bool:
    at_s = given_up_s(lane)
    return lane.is_closed or (at_s is not None and now_s >= at_s)
