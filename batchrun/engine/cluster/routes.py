"""What the driver knows about one endpoint, by the last words of all workers: the figures that a `Sender` has too."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from batchrun.endpoint.pool.closure import REFUSED
from batchrun.endpoint.pool.limits import Limit
from batchrun.engine.cluster.keeper import Keeper
from batchrun.engine.cluster.messages import RouteWord
from batchrun.records import LaneState, Stop


class SharedRoute:
    """One endpoint that several workers send to."""

    def __init__(self, name: str, keeper: Keeper, now_s: Callable[[], float]) -> None:
        """Begin without words.

        Args:
            name: of the endpoint in the job; empty where the job has one.
            keeper: shares its limit.
            now_s: the clock.
        """
        self.name, self.keeper, self._now_s = name, keeper, now_s
        self.node = ""
        """The node whose own it is; empty where all nodes have the same, or while there is one."""
        self._words: dict[int, RouteWord] = {}  # of the workers that are alive
        self._words_s: dict[int, float] = {}  # when they came: their times count from then
        self._throttled = 0  # by workers that are gone
        self._is_heard = False
        self._answered: dict[str, None] = {}
        self.closed: dict[str, Stop] = {}
        """The models that a worker sends nothing more to there, and why."""

    def __repr__(self) -> str:
        return f"<SharedRoute {self.name!r}, {self.keeper!r}>"

    @property
    def limit(self) -> Limit:
        """The limit of all workers together."""
        return self.keeper.limit

    def hear(self, worker: int, word: RouteWord) -> None:
        """Take a worker's word on it."""
        self._words[worker], self._words_s[worker] = word, self._now_s()
        self._is_heard = self._is_heard or word.is_heard
        self._answered.update(dict.fromkeys(word.answered))
        self.closed.update(word.closed)

    def leave(self, worker: int) -> None:
        """Forget a worker that is dead, but not what it was answered."""
        word = self._words.pop(worker, None)
        self._words_s.pop(worker, None)
        self._throttled += 0 if word is None else word.throttled

    @property
    def in_flight(self) -> int:
        """How many requests are in flight, by the workers' last words."""
        return self.keeper.in_flight

    @property
    def is_heard(self) -> bool:
        """Whether it has ever replied, with whatever status."""
        return self._is_heard

    @property
    def answered(self) -> list[str]:
        """The models that have answered a row there, also in earlier executions."""
        return list(self._answered)

    @property
    def throttled(self) -> int:
        """How many attempts were rejected for concurrency or a rate."""
        return self._throttled + sum(word.throttled for word in self._words.values())

    @property
    def _telling(self) -> list[RouteWord]:
        """The words of workers that can send there. One without a slot does not see whether others are answered."""
        words, idle = self._words, self.idle
        return [word for worker, word in words.items() if worker not in idle] or list(words.values())

    @property
    def idle(self) -> frozenset[int]:
        """The workers that have no slot there, and nothing in flight."""
        allowances = {worker: word.allowance for worker, word in self._words.items()}
        return frozenset(worker for worker, each in allowances.items() if not (each.slots or each.in_flight))

    @property
    def lanes(self) -> list[LaneState]:
        """The state of each model that was asked for there: it is paused where no worker is answered."""
        models = dict.fromkeys(lane.model for word in self._words.values() for lane in word.lanes)
        paused = dict.fromkeys(models, True)
        for lane in (lane for word in self._telling for lane in word.lanes):
            paused[lane.model] = paused[lane.model] and lane.is_paused
        return [LaneState(model, model in self.closed, is_paused) for model, is_paused in paused.items()]

    @property
    def is_away(self) -> bool:
        """Whether no worker can send there."""
        return bool(self._words) and all(word.is_away for word in self._telling)

    @property
    def trouble(self) -> str | None:
        """Why no worker can send there; None while one can."""
        troubles = [word.trouble for word in self._telling]
        return troubles[0] if troubles and all(troubles) else None

    @property
    def since_s(self) -> float | None:
        """Since when all workers find it away; None while one does not."""
        since_s = [
            self._words_s[worker] - word.away_s for worker, word in self._words.items() if word.away_s is not None
        ]
        return min(since_s) if self.trouble and since_s else None

    @property
    def probe_s(self) -> float | None:
        """When a worker asks next whether it answers again; None also while it is being asked."""
        probes_s = [
            self._words_s[worker] + word.probe_in_s
            for worker, word in self._words.items()
            if word.probe_in_s is not None
        ]
        now_s = self._now_s()
        return min((each for each in probes_s if each > now_s), default=None) if self.trouble else None


def closed_by(routes: Mapping[str, RouteWord], is_closed: Callable[[str], bool]) -> Mapping[str, Stop]:
    """Return why nothing more is sent to models, by a worker's word on each endpoint.

    Args:
        routes: by endpoint.
        is_closed: whether all nodes have closed a model.
    """
    found: dict[str, list[Stop]] = {}
    for name, route in routes.items():
        for model, stop in route.closed.items():
            if is_closed(model):
                named = f"{model} at {name}: {stop.message}" if len(routes) > 1 else stop.message
                found.setdefault(model, []).append(replace(stop, message=named))
    return {model: joined(stops) for model, stops in found.items()}


def joined(stops: Iterable[Stop]) -> Stop:
    """Return several reasons as one. A refusal counts more than an outage."""
    in_order = sorted(stops, key=lambda stop: stop.exit_code != REFUSED)
    message = "; and ".join(dict.fromkeys(stop.message for stop in in_order))
    return Stop(kind=in_order[0].kind, message=message, exit_code=in_order[0].exit_code)


def label_of(route: SharedRoute) -> str:
    """Return the name of an endpoint for people: of a node's own, also that of the node."""
    return "@".join(filter(None, [route.name, route.node]))
