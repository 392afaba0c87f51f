"""The requests that wait: fresh requests in their order, others by the time at which they are sent again. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count

from batchrun.endpoint.pool.budget import Reserve
from batchrun.endpoint.pool.verdicts import ATTEMPT, Verdict
from batchrun.records import Fault, Reply, Request


class Work:
    """One request on its way through the pool, and what has happened to it so far."""

    __slots__ = (
        "allowed",
        "alone",
        "attempts",
        "beginnings",
        "failure",
        "first_body",
        "is_canary",
        "is_given_up",
        "is_repeat",
        "is_settled",
        "is_straggler",
        "level",
        "repairs",
        "request",
        "reserve",
        "sent_s",
        "setbacks",
        "spent",
        "stale",
        "survived_s",
        "throttled",
    )

    def __init__(self, request: Request, max_attempts: int, *, is_canary: bool = False) -> None:
        self.request = request
        self.first_body = request.body  # before any repair
        self.repairs = 0  # how often it was asked again for an answer that fits
        self.is_canary = is_canary
        self.is_repeat = False  # a canary that is the request of an answered row, asked once more
        self.attempts = 0  # made
        self.allowed = max_attempts * ATTEMPT  # may be spent, in hundredths of an attempt
        self.spent = 0  # of that
        self.setbacks = 0  # failures that made it wait, since the endpoint last came back
        self.throttled = 0
        self.stale = 0  # attempts on connections that the server had closed
        self.is_straggler = False  # one of its attempts was given up, because it took too long
        self.is_settled = False  # has its outcome
        self.is_given_up = False  # the attempt in flight is
        self.beginnings = 0  # of outages at which it was in flight, since it was last judged
        self.alone = 0  # of these, as the only row that was held apart
        self.survived_s = 0.0  # how long it was in flight when the last of them began
        self.level = 0  # requests in flight when it was sent, this one included
        self.sent_s = 0.0
        self.reserve: Reserve | None = None  # set aside in the budget
        self.failure: tuple[Reply | Fault, Verdict] | None = None  # the last

    @property
    def size_bytes(self) -> int:
        """The size of its body, and of the last reply if that was an error."""
        result = self.failure[0] if self.failure else None
        return len(self.request.body) + (len(result.body) if isinstance(result, Reply) else 0)

    @property
    def may_straggle(self) -> bool:
        """Whether its attempt may be given up for another one: once, and if one is left."""
        return not self.is_canary and not self.is_straggler and self.spent + ATTEMPT < self.allowed

    @property
    def kind(self) -> str:
        """The kind of the last failure; empty before any."""
        return (self.failure[1].kind or "") if self.failure else ""

    @property
    def message(self) -> str:
        """The message of the last failure."""
        return self.failure[1].message if self.failure else ""


class Backlog:
    """The requests of one model that no worker holds."""

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._fresh: deque[Request] = deque()
        self._again: list[tuple[float, int, Work]] = []
        self._parked: dict[Work, None] = {}
        self._order = count()
        self.fresh_bytes = 0
        """Bytes of the bodies of fresh requests."""
        self.kept_bytes = 0
        """Bytes of the bodies of requests that wait to be sent again or to be judged."""

    @property
    def fresh(self) -> int:
        """How many requests were never sent."""
        return len(self._fresh)

    @property
    def again(self) -> int:
        """How many requests wait to be sent again."""
        return len(self._again)

    @property
    def parked(self) -> int:
        """How many requests wait to be judged: whether they get another attempt at all."""
        return len(self._parked)

    @property
    def due_s(self) -> float | None:
        """When the first request that waits to be sent again is due."""
        return self._again[0][0] if self._again else None

    def extend(self, requests: Iterable[Request]) -> None:
        """Add fresh requests."""
        requests = list(requests)
        self._fresh.extend(requests)
        self.fresh_bytes += sum(len(request.body) for request in requests)

    def put(self, work: Work, due_s: float) -> None:
        """Add a request that is sent again, at `due_s` at the earliest."""
        heappush(self._again, (due_s, next(self._order), work))
        self.kept_bytes += work.size_bytes

    def hasten(self, due_s: float) -> None:
        """Cap every wait at `due_s`: the reason to wait longer is over."""
        self._again = [(min(each, due_s), order, work) for each, order, work in self._again]
        heapify(self._again)

    def park(self, work: Work) -> None:
        """Hold a request back until it is judged."""
        self._parked[work] = None
        self.kept_bytes += work.size_bytes

    def unpark(self, work: Work) -> bool:
        """Remove a request that was held back; return whether it was."""
        is_parked = self._parked.pop(work, work) is None
        self.kept_bytes -= work.size_bytes if is_parked else 0
        return is_parked

    def take_fresh(self) -> Work | None:
        """Return the next fresh request."""
        if not self._fresh:
            return None
        work = Work(self._fresh.popleft(), self._max_attempts)
        self.fresh_bytes -= work.size_bytes
        return work

    def take_last(self) -> Work:
        """Return the last of the fresh requests, of which there must be some."""
        work = Work(self._fresh.pop(), self._max_attempts)
        self.fresh_bytes -= work.size_bytes
        return work

    def take_due(self, now_s: float) -> Work | None:
        """Return the next request that is due to be sent again."""
        if not self._again or self._again[0][0] > now_s:
            return None
        work = heappop(self._again)[2]
        self.kept_bytes -= work.size_bytes
        return work

    def take_where(self, fits: Callable[[Work], bool]) -> Work | None:
        """Return the first request to be sent again, due or not, for which `fits` is true."""
        for position, (_, _, work) in enumerate(self._again):
            if fits(work):
                del self._again[position]
                heapify(self._again)
                self.kept_bytes -= work.size_bytes
                return work
        return None

    def take_any(self) -> Work | None:
        """Return a request to be sent again, due or not, or else one that was held back."""
        if not self._again and self._parked:
            work = next(iter(self._parked))
            self.unpark(work)
            return work
        return self.take_where(lambda each: True)

    def __iter__(self) -> Iterator[Work]:
        yield from self._parked
        yield from (work for _, _, work in self._again)
