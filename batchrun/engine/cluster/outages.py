"""One outage is reported once, not once by each worker that meets it. Pure."""

from collections.abc import Iterator

from batchrun.records import Closed, Event, GivenUp, Loosened, Narrowed, Paused, Resumed

_Lane = tuple[str, str, str]


class Outages:
    """Which workers find a model away at an endpoint."""

    def __init__(self) -> None:
        self._away: dict[_Lane, dict[int, Paused]] = {}
        self._lasted_s: dict[_Lane, float] = {}
        self._known: set[tuple[type[Event], str, str, str]] = set()  # what needs to be reported once

    @property
    def are_any(self) -> bool:
        """Whether any worker finds a model away."""
        return any(self._away.values())

    def passed_on(self, worker: int, event: Event, node: str = "") -> Iterator[Event]:
        """Yield what is reported of a worker's event: the first absence, the last return, other news once.

        Args:
            worker: who met it.
            event: what happened.
            node: whose own the endpoint is; empty where all nodes have the same.
        """
        if node and isinstance(event, Paused | Resumed | Closed | Loosened | Narrowed | GivenUp):
            event = event._replace(node=node)
        if isinstance(event, Paused):
            away = self._away.setdefault((event.endpoint, event.model, node), {})
            if not away:
                yield event
            away[worker] = event
        elif isinstance(event, Resumed):
            yield from self._back(worker, (event.endpoint, event.model, node), event.after_s)
        elif isinstance(event, Closed | Loosened | Narrowed):
            news = (type(event), event.model, event.endpoint, event.node)
            if news not in self._known:
                self._known.add(news)
                yield event
        else:
            yield event

    def left(self, worker: int, endpoint: str | None = None) -> Iterator[Event]:
        """Yield what is reported when a worker is gone: if it was the last that found a model away, nobody does now.

        Args:
            worker: who.
            endpoint: where it is gone from, since it has no slot there any more; None: from all.
        """
        for lane in list(self._away):
            if endpoint is None or lane[0] == endpoint:
                yield from self._back(worker, lane, 0.0)

    def _back(self, worker: int, lane: _Lane, after_s: float) -> Iterator[Event]:
        away = self._away.get(lane, {})
        if away.pop(worker, None) is None:
            return
        self._lasted_s[lane] = max(after_s, self._lasted_s.get(lane, 0.0))
        if not away:
            endpoint, model, node = lane
            yield Resumed(model, self._lasted_s.pop(lane), endpoint, node)
