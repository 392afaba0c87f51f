"""Which worker has which rows, and which rows wait for one. Pure.

A row is leased to one worker at a time. When the worker is known to be dead, its rows go back to the head of the queue.
An outcome of a row that is not leased to its worker comes too late, from before: it is dropped, so that no row is
settled twice.

A bundle is leased as what is in it. What comes back of one that a dead worker had travels together again.

Rows of a model that is closed stay open: those that wait are dropped. What workers have of them may still be answered.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from batchrun.checkpoint.tables import pack
from batchrun.endpoint.pool.elsewhere import Danger, Left
from batchrun.prompts.bundles import joined
from batchrun.records import Outcome, PackedRow, Request

Leased = Request | PackedRow

_Key = tuple[int, str, int]

_MOST_PASSED = 1_000
"""Rows for other workers that are passed over to find some for this one."""


def _key(each: Leased) -> _Key:
    return each[:3]  # row, model and sample are the first fields of each


def _size(each: Leased) -> int:
    return len(each.body) if isinstance(each, Request) else each.size


class Leases:
    """The rows of a run that have no outcome yet, as far as they were read."""

    def __init__(self, number_of: Callable[[str], int] | None = None) -> None:
        """Begin without rows.

        Args:
            number_of: returns the number of a model, as ids have it; None: by their turn.
        """
        self._number_of = number_of or (lambda model: len(self.models))
        self._queue: deque[Leased] = deque()
        self.waiting_bytes = 0
        """Size of the rows that no worker has."""
        self._leased: dict[int, dict[int, Leased]] = {}  # by worker and id; of a row in a bundle, the bundle
        self._left: dict[int, dict[int, Leased]] = {}  # that may stay open
        self._closed: set[str] = set()
        self.fallbacks: Mapping[str, str] = {}
        """Model → its fallback: rows of the model may stay open where that is closed."""
        self.models: dict[str, int] = {}
        """The models that were asked for, and their numbers."""
        self.is_fed = False
        """Whether the last row was added."""
        self.dangers: dict[_Key, Danger] = {}
        """What nodes know about rows that they have handed back and that may take servers down."""
        self.put_back = 0
        """Rows that went back, because their worker died."""
        self.dropped = 0
        """Outcomes that came too late."""

    def __repr__(self) -> str:
        shares = " ".join(f"{worker}:{len(rows)}" for worker, rows in self._leased.items())
        return f"<Leases {len(self._queue)} waiting, leased {shares}>"

    @property
    def waiting(self) -> int:
        """How many rows no worker has."""
        return len(self._queue)

    @property
    def leased(self) -> int:
        """How many rows workers have: more cannot be bought again if all die now."""
        return sum(map(len, self._leased.values())) + sum(map(len, self._left.values()))

    @property
    def is_dry(self) -> bool:
        """Whether there is no row to give, and none is expected; rows of a worker that dies may still come back."""
        return self.is_fed and not self._queue

    @property
    def is_settled(self) -> bool:
        """Whether every row has its outcome, or is of a model that is closed."""
        return self.is_dry and not any(self._leased.values())

    def extend(self, requests: Iterable[Leased]) -> None:
        """Add rows that were read."""
        requests = list(requests)
        for model in dict.fromkeys(request.model for request in requests):
            if model not in self.models:
                self.models[model] = self._number_of(model)
            if model in self._closed:
                requests = [request for request in requests if request.model != model]
        self._queue.extend(requests)
        self.waiting_bytes += sum(map(_size, requests))

    def join(self, worker: int) -> None:
        """Add a worker without rows."""
        self._leased[worker], self._left[worker] = {}, {}

    def end(self, worker: int) -> None:
        """Forget the rows of a worker that has ended: what it had sent is over, the others stay open."""
        self._leased[worker], self._left[worker] = {}, {}

    def count(self, worker: int) -> int:
        """Return how many rows a worker has that are sent again if it dies."""
        return len(self._leased[worker])

    def close(self, model: str) -> None:
        """Give no more rows of a model to workers."""
        self._closed.add(model)
        self._queue = deque(request for request in self._queue if request.model != model)
        self.waiting_bytes = sum(map(_size, self._queue))
        for worker, rows in self._leased.items():
            its = {key: request for key, request in rows.items() if self._may_stay_open(request)}
            self._left[worker] |= its
            for key in its:
                del rows[key]

    def take(self, worker: int, most: int, most_bytes: int, shunned: Collection[str] = ()) -> list[Leased]:
        """Lease the next rows to a worker: at most so many, and of so many bytes, but one in any case.

        Args:
            worker: who gets them.
            most: how many, at most.
            most_bytes: of their bodies.
            shunned: models whose rows are for other workers.
        """
        if shunned or self.waiting_bytes > most_bytes:
            taken = self._chosen(most, most_bytes, shunned)
        else:
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        self.waiting_bytes -= sum(map(_size, taken))
        for request in taken:
            mine = (self._left if self._closed and self._may_stay_open(request) else self._leased)[worker]
            for each in request.rows:
                mine[pack(each[0], self.models[each[1]], each[2])] = request
        return taken

    def _chosen(self, most: int, most_bytes: int, shunned: Collection[str]) -> list[Leased]:
        taken: list[Leased] = []
        passed: list[Leased] = []
        size = 0
        while self._queue and len(taken) < most and size < most_bytes and len(passed) < _MOST_PASSED:
            request = self._queue.popleft()
            if request.model in shunned:
                passed.append(request)
            else:
                size += _size(request)
                taken.append(request)
        self._queue.extendleft(reversed(passed))
        return taken

    def _may_stay_open(self, request: Leased) -> bool:
        """Return whether a row may get no outcome, so that nobody waits for one."""
        return request.model in self._closed or self.fallbacks.get(request.model) in self._closed

    def id_of(self, each: Leased | Outcome) -> int:
        """Return the id of a row's outcome."""
        row, model, sample, *_ = each
        return pack(row, self.models[model], sample)

    def settle(self, worker: int, ids: Iterable[int]) -> list[int]:
        """Note outcomes, by their ids; return those that do not count."""
        leased, left = self._leased[worker], self._left[worker]
        late = [each for each in ids if leased.pop(each, None) is None and left.pop(each, None) is None]
        self.dropped += len(late)
        return late

    def hand_back(self, worker: int, left: Left) -> None:
        """Take back a row that a worker cannot send, to be leased again before all others."""
        key, number = (left.row, left.model, left.sample), pack(left.row, self.models[left.model], left.sample)
        leased = self._leased[worker].pop(number, None) or self._left[worker].pop(number, None)
        if leased is None or leased.model in self._closed:
            return
        request = next(each for each in leased.rows if _key(each) == key)
        self._queue.appendleft(request)
        self.waiting_bytes += _size(request)
        if left.danger is not None:
            self.dangers[key] = left.danger

    def dangers_of(self, rows: Iterable[Leased]) -> Mapping[_Key, Danger]:
        """Return what is known about those of some rows that may take servers down."""
        if not self.dangers:
            return {}
        return {key: self.dangers.pop(key) for key in map(_key, rows) if key in self.dangers}

    def leave(self, worker: int) -> None:
        """Take back the rows of a worker that is dead, to be leased again before all others."""
        rows = self._leased.pop(worker, {}) | self._left.pop(worker, {})
        leased = {id(request): request for request in rows.values() if request.model not in self._closed}
        back = [self._without_settled(request, rows) for request in leased.values()]
        self._queue.extendleft(reversed(back))
        self.waiting_bytes += sum(map(_size, back))
        self.put_back += sum(len(request.rows) for request in back)

    def _without_settled(self, leased: Leased, open_ids: Collection[int]) -> Leased:
        """Return what was leased, without the rows of a bundle that are not open any more."""
        if not isinstance(leased, Request) or all(self.id_of(each) in open_ids for each in leased.rows):
            return leased
        return joined([each for each in leased.rows if self.id_of(each) in open_ids])
