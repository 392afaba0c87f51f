"""One outage is reported once, not once by each worker that meets it. Pure."""

from collections.abc import Iterator

from batchrun.records import Closed, Event, Loosened, Paused, Resumed

_Lane = tuple[str, str]


class Outages:
    """Which workers find a model away at an endpoint."""

    def __init__(self) -> None:
        self._away: dict[_Lane, dict[int, Paused]] = {}
        self._lasted_s: dict[_Lane, float] = {}
        self._known: set[Event] = set()  # what needs to be reported once

    def passed_on(self, worker: int, event: Event) -> Iterator[Event]:
        """Yield what is reported of a worker's event: the first absence, the last return, other news once."""
        if isinstance(event, Paused):
            away = self._away.setdefault((event.endpoint, event.model), {})
            if not away:
                yield event
            away[worker] = event
        elif isinstance(event, Resumed):
            yield from self._back(worker, (event.endpoint, event.model), event.after_s)
        elif isinstance(event, Closed | Loosened):
            news = event._replace(message="")
            if news not in self._known:
                self._known.add(news)
                yield event
        else:
            yield event

    def left(self, worker: int) -> Iterator[Event]:
        """Yield what is reported when a worker is gone: if it was the last that found a model away, nobody does now."""
        for lane in list(self._away):
            yield from self._back(worker, lane, 0.0)

    def _back(self, worker: int, lane: _Lane, after_s: float) -> Iterator[Event]:
        away = self._away.get(lane, {})
        if away.pop(worker, None) is None:
            return
        self._lasted_s[lane] = max(after_s, self._lasted_s.get(lane, 0.0))
        if not away:
            endpoint, model = lane
            yield Resumed(model, self._lasted_s.pop(lane), endpoint)
