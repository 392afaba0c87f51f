"""One outage is reported once, not once by each worker that meets it. Pure."""

from collections.abc import Iterator

from batchrun.records import Closed, Event, GivenUp, Loosened, Narrowed, Paused, Resumed

_Lane = tuple[str, str, str]


class Outages:
    """Which workers find a model away at an endpoint."""

    def __init__(self) -> None:
        self._away: dict[_Lane, dict[int, float]] = {}  # since when, by worker
        self._began_s: dict[_Lane, float] = {}
        self._lasted_s: dict[_Lane, float] = {}
        self._known: set[tuple[type[Event], str, str, str]] = set()  # what needs to be reported once

    @property
    def are_any(self) -> bool:
        """Whether any worker finds a model away."""
        return any(self._away.values())

    def passed_on(self, worker: int, event: Event, now_s: float, node: str = "") -> Iterator[Event]:
        """Yield what is reported of a worker's event: the first absence, the last return, other news once.

        Args:
            worker: who met it.
            event: what happened.
            now_s: when it was reported.
            node: whose own the endpoint is; empty where all nodes have the same.
        """
        if node and isinstance(event, Paused | Resumed | Closed | Loosened | Narrowed | GivenUp):
            event = event._replace(node=node)
        if isinstance(event, Paused):
            lane, since_s = (event.endpoint, event.model, node), now_s - event.for_s
            away = self._away.setdefault(lane, {})
            if not away:
                self._began_s[lane] = since_s
                yield event
            away[worker] = since_s
        elif isinstance(event, Resumed):
            lane = (event.endpoint, event.model, node)
            if worker in self._away.get(lane, {}):
                self._note(lane, self._away[lane][worker] + event.after_s)
            yield from self._back(worker, lane)
        elif isinstance(event, Closed | Loosened | Narrowed):
            news = (type(event), event.model, event.endpoint, event.node)
            if news not in self._known:
                self._known.add(news)
                yield event
        else:
            yield event

    def left(self, worker: int, now_s: float, endpoint: str | None = None) -> Iterator[Event]:
        """Yield what is reported when a worker is gone: if it was the last that found a model away, nobody does now.

        Args:
            worker: who.
            now_s: since when.
            endpoint: where it is gone from, since it has no slot there any more; None: from all.
        """
        for lane in list(self._away):
            if endpoint is None or lane[0] == endpoint:
                if lane not in self._lasted_s and self._away[lane].keys() == {worker}:
                    self._note(lane, now_s)
                yield from self._back(worker, lane)

    def _note(self, lane: _Lane, ended_s: float) -> None:
        """Note when a worker found a model back: who has seen the beginning may be dead since."""
        self._lasted_s[lane] = max(ended_s - self._began_s[lane], self._lasted_s.get(lane, 0.0))

    def _back(self, worker: int, lane: _Lane) -> Iterator[Event]:
        away = self._away.get(lane, {})
        if away.pop(worker, None) is None or away:
            return
        endpoint, model, node = lane
        yield Resumed(model, self._lasted_s.pop(lane), endpoint, node)
