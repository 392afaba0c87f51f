"""What is known about a run that workers carry out, by their last words: the figures that a `Pool` has too."""

from collections import Counter
from collections.abc import Callable

from batchrun.engine.cluster.endpoints import Endpoints
from batchrun.engine.cluster.hiring import Hiring
from batchrun.engine.cluster.leases import Leases
from batchrun.engine.cluster.messages import Word
from batchrun.engine.cluster.post import Post
from batchrun.engine.cluster.routes import SharedRoute, joined, label_of
from batchrun.records import Stop, WorkerFigures


class Overview:
    """The figures of all workers together."""

    def __init__(self, hiring: Hiring, endpoints: Endpoints, leases: Leases, now_s: Callable[[], float]) -> None:
        """Begin without workers.

        Args:
            hiring: starts workers.
            endpoints: that they send to.
            leases: gets the rows.
            now_s: the clock.
        """
        self._now_s = now_s
        self.hiring = hiring
        """Starts workers."""
        self.leases = leases
        """Which worker has which rows."""
        self.posts: dict[int, Post] = {}
        """The workers that are alive."""
        self.endpoints = endpoints
        self.closed: dict[str, Stop] = {}
        """The models that nothing more is sent to, wherever they are served, and why."""
        self.stopping: Stop | None = None
        self.answered = Counter[int]()
        """How many rows the workers of each place have given an outcome, those that have died too."""
        self.lost = 0
        """How many workers have died."""
        self._undrained = 0  # requests in flight at workers that have died since the run was stopped

    @property
    def is_over(self) -> bool:
        """Whether no more rows will ever be given to workers."""
        return self.stopping is not None or self.leases.is_settled

    @property
    def routes(self) -> tuple[SharedRoute, ...]:
        """What is known about each endpoint."""
        return self.endpoints.routes

    @property
    def workers(self) -> tuple[WorkerFigures, ...]:
        """Each worker, by its last word, those that are being started too."""
        return tuple(self._figures(place) for place in sorted({*self.posts, *self.hiring.nodes}))

    def _figures(self, place: int) -> WorkerFigures:
        post = self.posts.get(place)
        if post is None:
            return WorkerFigures(place + 1, self.hiring.nodes[place], 0, 0, 0, "starting", self.answered[place])
        in_flight, limit = self._slots(place)
        is_silent = any(keeper.is_lent(place) for keeper in post.keepers.values())
        rows, state = self.leases.count(place), "silent" if is_silent else "open"
        return WorkerFigures(place + 1, post.handle.node, in_flight, limit, rows, state, self.answered[place])

    def _slots(self, place: int) -> tuple[int, int]:
        """Return what a worker has in flight, by its last word, and what it may have, at all endpoints."""
        in_flight, limit = zip(
            *(keeper.allowances[place] for keeper in self.posts[place].keepers.values()), strict=True
        )
        return sum(in_flight), sum(limit)

    @property
    def _words(self) -> list[Word]:
        return [post.word for post in self.posts.values() if post.word is not None]

    @property
    def reason(self) -> Stop | None:
        """Why rows stay open, of models that are closed; None when none is."""
        return joined(self.closed.values()) if self.closed else None

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return sum(route.in_flight for route in self.routes)

    @property
    def most_in_flight(self) -> int:
        """How many requests may be in flight: a worker reports what it has sent up to a second later."""
        return sum(self._most_in_flight(place) for place in self.posts)

    def _most_in_flight(self, place: int) -> int:
        rows, keepers = self.leases.count(place), self.posts[place].keepers.values()
        is_silent = any(keeper.is_lent(place) for keeper in keepers)
        return rows if is_silent else min(rows, sum(keeper.most(place) for keeper in keepers))

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent again."""
        return sum(word.waiting for word in self._words)

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return sum(route.throttled for route in self.routes)

    @property
    def has_more(self) -> bool:
        """Whether anything is left to send in addition to what is in flight."""
        return not self.leases.is_dry or any(word.fresh or word.waiting for word in self._words)

    @property
    def is_heard(self) -> bool:
        """Whether any endpoint has ever replied, with whatever status."""
        return any(route.is_heard for route in self.routes)

    @property
    def trouble(self) -> str | None:
        """Why nothing is sent, to an endpoint or of a model; None when requests are sent."""
        troubles = {label_of(route): route.trouble for route in self.routes}
        if len(troubles) == 1:
            return next(iter(troubles.values()))
        return "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items() if trouble is not None) or None

    @property
    def is_away(self) -> bool:
        """Whether no worker can send anything, or none has started yet."""
        return not self._words or all(route.is_away for route in self.routes)

    @property
    def away_s(self) -> float | None:
        """For how long an endpoint has been away; None when none is."""
        since_s = [route.since_s for route in self.routes if route.since_s is not None]
        return self._now_s() - min(since_s) if since_s else None

    @property
    def probe_in_s(self) -> float | None:
        """In how many seconds an endpoint that is away is asked next; None when none is, or while it is being asked."""
        probes_s = [route.probe_s for route in self.routes if route.probe_s is not None]
        return max(0.0, min(probes_s) - self._now_s()) if probes_s and self.stopping is None else None

    @property
    def is_late(self) -> bool:
        """Whether all that is left is in flight and takes longer than usual: rates say nothing about its end."""
        return self.leases.is_dry and bool(self._words) and all(word.is_late for word in self._words)

    @property
    def drained(self) -> tuple[int, int]:
        """How many requests were in flight when the run was stopped, and how many of these have no outcome."""
        in_flight, left = zip((0, 0), *(word.drained for word in self._words), strict=True)
        return sum(in_flight) + self._undrained, sum(left) + self._undrained

    def note_undrained(self, place: int) -> None:
        """Note that a worker has died: if the run was stopped, what it had in flight gets no answer."""
        word = self.posts[place].word
        if self.stopping is not None and word is not None:
            self._undrained += self._slots(place)[0] if word.stop is None else word.drained[1]

    def drain_s(self, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long a run that is stopped now, or was stopped, waits at most.

        A worker that reported nothing in flight may have sent something since: that has its whole timeout.
        """
        return max((self._drain_s(place, timeout_s) for place in self.posts), default=0.0)

    def _drain_s(self, place: int, timeout_s: float) -> float:
        word = self.posts[place].word
        if word is not None and (word.stop is not None or self._slots(place)[0]):
            return word.drain_s
        return timeout_s if self._most_in_flight(place) else 0.0

    def look(self) -> None:
        """Do nothing: each worker looks after its own pauses, with each word."""
