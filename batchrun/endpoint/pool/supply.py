"""All requests of a run that are not settled, by model: whether more should be read, and whether any are left. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.room import Sibling
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.records import Request

_READY = 64
"""Fewest requests that should be ready to send; more when the limits are higher."""

READY_BYTES = 32 << 20
_HELD_BYTES = 512 << 20
"""Bytes of request bodies that may be ready to be sent, and that may be in flight or wait for another attempt: a few
hundred bodies with images would fill the memory. One request may always be sent."""

_READ_AHEAD = 32_768
_READ_AHEAD_BYTES = 128 << 20
"""Requests, and their bytes, of models that do not answer that may be ready while others continue. Then all wait."""


class _Served(NamedTuple):
    """A model, and its lanes at the endpoints that serve it."""

    queue: SharedQueue
    lanes: Sequence[Lane]

    @property
    def slots(self) -> int | None:
        """How many slots the endpoints have that take fresh requests now; None where none does."""
        slots = None
        for lane in self.lanes:
            if not (lane.is_closed or lane.is_held_up):
                slots = (slots or 0) + lane.room.slots
        return slots

    def is_starving(self, slots: int) -> bool:
        """Return whether too few requests are ready for so many slots."""
        fresh = len(self.queue)
        return not fresh or (self.queue.size_bytes < READY_BYTES and (fresh <= _READY or fresh <= slots))


class Supply:
    """The requests of all models."""

    def __init__(
        self,
        max_attempts: int,
        open_lanes: Callable[[SharedQueue], Sequence[Lane]],
        wake: Callable[[], None] = lambda: None,
        elsewhere: Callable[[str], Sequence[Sibling]] | None = None,
    ) -> None:
        """Begin without requests.

        Args:
            max_attempts: how many attempts a row may spend.
            open_lanes: returns the lanes of a model, which take from its queue: one at each endpoint that serves it.
            wake: has all endpoints look for something to send, soon.
            elsewhere: returns what stands for a model at endpoints that other machines send to, if there are any.
        """
        self._max_attempts, self._open_lanes, self._elsewhere = max_attempts, open_lanes, elsewhere
        self.wake = wake
        self._models: dict[str, _Served] = {}
        self.is_fed = False
        """Whether the last fresh request has been added."""
        self.is_dry = False
        """Whether none will be added for now, although more may be added later."""

    def open(self, model: str) -> Sequence[Lane]:
        """Return the lanes of a model; open them for its first request."""
        served = self._models.get(model)
        if served is None:
            queue = SharedQueue(model, self._max_attempts, self.wake)
            lanes = self._open_lanes(queue)
            others = self._elsewhere(model) if self._elsewhere is not None else ()
            for lane in lanes:
                lane.siblings = [*(each for each in lanes if each is not lane), *others]
            served = self._models[model] = _Served(queue, lanes)
            self.share_memory()
        return served.lanes

    def extend(self, requests: Iterable[Request]) -> None:
        """Add fresh requests."""
        by_model = defaultdict(list)
        for request in requests:
            by_model[request.model].append(request)
        for model, its in by_model.items():
            self.open(model)
            self._models[model].queue.extend(its)

    def share_memory(self) -> None:
        """Give each lane that is open the same share."""
        lanes = [lane for lane in self.lanes if not lane.is_closed]
        for lane in lanes:
            lane.most_bytes = _HELD_BYTES / len(lanes)

    @property
    def lanes(self) -> Iterator[Lane]:
        """The lanes of all models that have had a request."""
        return (lane for served in self._models.values() for lane in served.lanes)

    @property
    def queues(self) -> list[SharedQueue]:
        """The queues of all models that have had a request."""
        return [served.queue for served in self._models.values()]

    @property
    def is_open(self) -> bool:
        """Whether any model takes requests of the input."""
        return any(served.queue.is_read and not served.queue.is_closed for served in self._models.values())

    @property
    def is_hungry(self) -> bool:
        """Whether more fresh requests should be added: a model has too few, or no known model answers."""
        fresh = size_bytes = 0
        is_starving, are_all_held_up = False, True
        for served in self._models.values():
            if served.queue.is_closed:
                continue
            fresh += len(served.queue)
            size_bytes += served.queue.size_bytes
            if served.queue.is_read and (slots := served.slots) is not None:
                are_all_held_up = False
                is_starving = is_starving or served.is_starving(slots)
        has_place = fresh < _READ_AHEAD and size_bytes < _READ_AHEAD_BYTES
        return (is_starving or are_all_held_up) and (has_place or not fresh)

    @property
    def more_to_come(self) -> bool:
        """Whether fresh requests may still be added."""
        return not (self.is_fed or self.is_dry) and self.is_hungry

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent again."""
        backlogs = [lane.backlog for lane in self.lanes]
        return sum(each.waiting - each.fresh for each in backlogs) + sum(queue.waiting for queue in self.queues)

    @property
    def fresh(self) -> int:
        """How many requests were never sent."""
        return sum(map(len, self.queues)) + sum(lane.backlog.fresh for lane in self.lanes)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left and nothing more will be added."""
        return self.is_fed and all(lane.is_empty for lane in self.lanes)

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send, and nothing more will be added."""
        return self.is_fed and all(lane.is_sent for lane in self.lanes)
