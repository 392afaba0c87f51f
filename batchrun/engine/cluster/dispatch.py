"""What a worker is to do until its next word: the rows and slots that it gets, and what else it has to know."""

from collections.abc import Callable, Collection

from batchrun.endpoint.pool import supply
from batchrun.engine.cluster.leases import Leased
from batchrun.engine.cluster.messages import Orders, pack_rows
from batchrun.engine.cluster.neighbours import Neighbours
from batchrun.engine.cluster.overview import Overview
from batchrun.engine.cluster.shipping import Inbox
from batchrun.engine.cluster.till import NO_GRANT, Till

_SHIP_S, _SHIP_SOON_S = 0.07, 0.01
"""How old an outcome gets at a worker: with the limit at rest, and while it moves. An exchange takes 0.9 ms of CPU. A
worker that dies loses what it has kept, so this and the next commit together must take less than 0.1 s."""

_AHEAD_S, _AHEAD_LEAST = 0.2, 4
"""Rows that a worker has in addition to its free slots: what it settles in that time, at least so many."""

_MOST_ROWS, _MOST_BYTES = 4_096, 8 << 20
"""Rows, and bytes of their bodies, in one exchange."""

_READ_AHEAD = 4
"""Rows that are read ahead, in times the limit, and 512 more; of no more bytes than in one process."""


class Dispatch:
    """Decides what each worker is given."""

    def __init__(
        self, overview: Overview, neighbours: Neighbours, till: Till | None, inbox: Inbox, may_admit: Callable[[], bool]
    ) -> None:
        """Begin.

        Args:
            overview: what is known about the run.
            neighbours: what nodes know of each other.
            till: shares the caps; None where the job has none.
            inbox: has what workers must know to make outcomes ready.
            may_admit: whether rows may be given: the checkpoint is not behind.
        """
        self._run, self._leases, self._endpoints = overview, overview.leases, overview.endpoints
        self._neighbours, self._till, self._inbox, self._may_admit = neighbours, till, inbox, may_admit

    @property
    def is_full(self) -> bool:
        """Whether enough rows were read."""
        return self._leases.waiting > self._enough or self._leases.waiting_bytes > supply.READY_BYTES

    @property
    def is_hungry(self) -> bool:
        """Whether more rows should be read."""
        return self._leases.waiting <= self._enough // 2 and self._leases.waiting_bytes <= supply.READY_BYTES // 2

    @property
    def _enough(self) -> int:
        return _READ_AHEAD * sum(keeper.limit.current for keeper in self._endpoints.keepers) + 512

    def orders(self, place: int, number: int, now_s: float) -> Orders:
        """Return what a worker is to do, with rows that are leased to it from now on.

        Args:
            place: of the worker.
            number: of the exchange.
            now_s: the time.
        """
        run, leases = self._run, self._leases
        post = run.posts[place]
        shunned = self._neighbours.shunned_by(place)
        rows = self._rows_for(place, shunned)
        wants_more = run.stopping is None and bool(post.fresh or post.waiting or rows or not leases.is_dry)
        is_moving = any(keeper.limit.is_moving(now_s) for keeper in post.keepers.values())
        grants = {
            name: keeper.grant(place, wants_more=wants_more, room=self._endpoints.room)
            for name, keeper in post.keepers.items()
        }
        post.is_given = bool(rows)
        closed = {model: stop for model, stop in run.closed.items() if model not in post.closed}
        post.closed.update(closed)
        return Orders(
            number=number,
            rows=pack_rows(rows) if rows else b"",
            grants={name: change for name, change in grants.items() if change},
            money=NO_GRANT if self._till is None else self._till.grant(place),
            is_dry=not rows and (leases.is_dry or not shunned),
            is_last=run.is_over,
            closed=closed,
            stop=run.stopping,
            ship_s=_SHIP_SOON_S if is_moving else _SHIP_S,
            abroad=self._neighbours.seen_from(place),
            dangers=leases.dangers_of(rows),
            terms=self._inbox.terms(post),
        )

    def _rows_for(self, place: int, shunned: Collection[str]) -> list[Leased]:
        """Lease what a worker can send until its next word.

        Rows that it sends again do not count: in an outage it would get none, and nothing would probe.
        """
        run, leases = self._run, self._leases
        if run.stopping is not None or not self._may_admit():
            return []
        post = run.posts[place]
        free = sum(keeper.free_slots(place) for keeper in post.keepers.values())
        most = min(_MOST_ROWS, free + max(_AHEAD_LEAST, int(_AHEAD_S * post.rate_per_s))) - post.fresh
        if leases.is_fed:  # an even share of the last ones
            most = min(most, -(-leases.waiting // len(run.posts)))
        return leases.take(place, most, _MOST_BYTES, shunned)
