"""The requests that wait to be sent again, by the time at which they are. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from batchrun.endpoint.pool.budget import Reserve
from batchrun.endpoint.pool.verdicts import ATTEMPT, Verdict
from batchrun.records import Fault, Outcome, Reply, Request


@dataclass(slots=True)
class Halved:
    """A bundle that has failed at an endpoint, and the sizes of those of its halves that were answered whole there."""

    endpoint: str
    size: int
    message: str
    answered: list[int] = field(default_factory=list)


class Work:
    """One request on its way through the pool, and what has happened to it so far."""

    # Values of the class until they change, which most of them never do: there are millions of requests.
    repairs = 0  # how often it was asked again for an answer that fits
    is_repeat = False  # a canary that is the request of an answered row, asked once more
    attempts = 0  # made
    spent = 0  # of what is allowed
    unseen = 0  # failures in a row for which nothing shows that the endpoint worked meanwhile
    unseen_since_s = inf  # when the first of these attempts was sent
    is_unseen_alone = True  # no other row was suspected at any of them
    is_spared = False  # it did not pay its last attempt once, since these were all that it had
    setbacks = 0  # failures that made it wait, since the endpoint last came back
    throttled = 0
    stale = 0  # attempts on connections that the server had closed
    is_straggler = False  # one of its attempts was given up, because it took too long
    is_settled = False  # has its outcome
    is_given_up = False  # the attempt in flight is
    beginnings = 0  # of outages at which it was in flight, since it was last judged
    trials = 0  # of these, as the only row on trial
    survived_s = 0.0  # how long it was in flight when the last of them began
    is_shared = False  # lost last together with others, any of which may be the reason
    fails_apart = False  # it has failed while others that were in flight with it were answered
    endpoint = ""  # that passed it on last
    elsewhere: tuple[tuple[str, int, int], ...] = ()  # attempts and rejections at endpoints that passed it on
    before: tuple[tuple[str, int, int], ...] = ()  # the same of the model that was asked first
    level = 0  # requests in flight when it was sent, this one included
    sent_s = 0.0
    sent_bytes = 0  # its size when it was sent
    reserve: Reserve | None = None  # set aside in the budget
    failure: tuple[Reply | Fault, Verdict] | None = None  # the last
    refused_n: tuple[int, str] | None = None  # samples that a bundle it was in asked for, and why that failed
    half_of: Halved | None = None  # the bundle in the place of which it is sent
    first: Outcome | None = None  # its failure at the model that was asked first; this one is the fallback

    def __init__(self, request: Request, max_attempts: int, *, is_canary: bool = False) -> None:
        self.request = request
        self.first_body = request.body  # before any repair
        self.is_canary = is_canary
        self.allowed = max_attempts * ATTEMPT  # may be spent, in hundredths of an attempt

    @property
    def has_moved(self) -> bool:
        """Whether it may have been sent to more than one endpoint."""
        return bool(self.elsewhere or self.before)

    def here(self, endpoint: str) -> tuple[str, int, int]:
        """Return the endpoint where it is now, and its attempts and rejections there."""
        attempts = self.attempts - sum(attempts for _, attempts, _ in self.elsewhere)
        return endpoint, attempts, self.throttled - sum(throttled for *_, throttled in self.elsewhere)

    @property
    def is_fresh(self) -> bool:
        """Whether the row was never sent."""
        return not self.attempts and self.first is None

    @property
    def size_bytes(self) -> int:
        """The size of its body, of the last reply if that was an error, and of the reply of the model asked first."""
        size = len(self.request.body)
        if self.first is not None:
            size += len(self.first.body or b"")
        result = None if self.failure is None else self.failure[0]
        return size + len(result.body) if isinstance(result, Reply) else size

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
    """The requests of one model that an endpoint has to send again."""

    def __init__(self) -> None:
        self._again: list[tuple[float, int, Work]] = []
        self._parked: dict[Work, None] = {}
        self._order = count()
        self.kept_bytes = 0
        """Bytes of the bodies of requests that wait to be sent again or to be judged."""
        self.fresh = 0
        """Requests that were given back before they were sent: the caps do not allow them."""

    @property
    def again(self) -> int:
        """How many requests wait to be sent again."""
        return len(self._again)

    @property
    def parked(self) -> int:
        """How many requests wait to be judged: whether they get another attempt at all."""
        return len(self._parked)

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent again or to be judged, those included that were given back before."""
        return len(self._again) + len(self._parked)

    @property
    def is_waiting(self) -> bool:
        """Whether any request waits to be sent again or to be judged."""
        return bool(self._again or self._parked)

    @property
    def due_s(self) -> float | None:
        """When the first request that waits to be sent again is due."""
        return self._again[0][0] if self._again else None

    def put(self, work: Work, due_s: float) -> None:
        """Add a request that is sent again, at `due_s` at the earliest."""
        heappush(self._again, (due_s, next(self._order), work))
        self.kept_bytes += work.size_bytes
        self.fresh += work.is_fresh

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

    def take_due(self, now_s: float) -> Work | None:
        """Return the next request that is due to be sent again."""
        if not self._again or self._again[0][0] > now_s:
            return None
        work = heappop(self._again)[2]
        self._taken(work)
        return work

    def take_where(self, fits: Callable[[Work], bool]) -> Work | None:
        """Return the first request to be sent again, due or not, for which `fits` is true."""
        for position, (_, _, work) in enumerate(self._again):
            if fits(work):
                del self._again[position]
                heapify(self._again)
                self._taken(work)
                return work
        return None

    def take_later(self, after_s: float, fits: Callable[[Work], bool]) -> Work | None:
        """Return the first request to be sent again that is due later than `after_s` and for which `fits` is true."""
        later = {work for due_s, _, work in self._again if due_s > after_s}
        return self.take_where(lambda work: work in later and fits(work)) if later else None

    def take_any(self) -> Work | None:
        """Return a request to be sent again, due or not, or else one that was held back."""
        if not self._again and self._parked:
            work = next(iter(self._parked))
            self.unpark(work)
            return work
        return self.take_where(lambda each: True)

    def take_each(self, fits: Callable[[Work], bool]) -> list[Work]:
        """Return all requests for which `fits` is true, due or not, held back or not."""
        taken = dict.fromkeys(work for work in self if fits(work))
        if taken:
            self._parked = {work: None for work in self._parked if work not in taken}
            self._again = [each for each in self._again if each[2] not in taken]
            heapify(self._again)
            for work in taken:
                self._taken(work)
        return [*taken]

    def take_all(self) -> list[Work]:
        """Return all requests, those that were held back first; none is left."""
        works = list(self)
        self._parked.clear()
        self._again.clear()
        self.kept_bytes = self.fresh = 0
        return works

    def _taken(self, work: Work) -> None:
        self.kept_bytes -= work.size_bytes
        self.fresh -= work.is_fresh

    def __iter__(self) -> Iterator[Work]:
        yield from self._parked
        yield from (work for _, _, work in self._again)
