"""Closes a model that is refused or away for too long: nothing more is sent to it, the others continue. Pure.

It is closed at one endpoint. As long as another one serves it, its rows go there. Otherwise they stay open for the next
execution. The run stops when no model is left, or when the others have come to their end; then the reason to stop names
every closed model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.handover import leave
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.supply import Supply
from batchrun.errors import EndpointRefused
from batchrun.records import Attempted, Closed, Event, Stop

REFUSED = EndpointRefused.exit_code
"""Exit code of a run whose requests are refused, where the kind has none."""


class Closure:
    """The models that are closed, where, and why."""

    def __init__(
        self, supply: Supply, models: int, on_event: Callable[[Event], None], stop: Callable[[Stop], None]
    ) -> None:
        """Begin with all models open.

        Args:
            supply: has the models that have had a request.
            models: how many the job has; those that were done before have had none.
            on_event: takes what is closed, and the attempts of rows that stay open.
            stop: stops the run.
        """
        self._supply, self._models, self._on_event = supply, models, on_event
        self.stop_run = stop
        self._stops: dict[Lane, Stop] = {}
        self._of_model: set[str] = set()  # closed for a reason that must name the model

    def close(self, lane: Lane, stop: Stop, *, is_of_model: bool = False) -> None:
        """Send nothing more to a model at one endpoint; stop the run when no model is left.

        Args:
            lane: of the model.
            stop: the reason, which does not name the model.
            is_of_model: whether the reason must name the model even if there is no other.
        """
        if lane.is_closed:
            return
        self._stops[lane] = stop
        if is_of_model:
            self._of_model.add(lane.model)
        is_last = all(each.is_closed for each in lane.siblings)
        for work in (*lane.backlog.take_all(), *(lane.queue if is_last else ())):
            if is_last:
                self.leave_open(work, lane.endpoint)
            else:
                leave(lane, work)
        lane.close()
        reason = None if self._supply.is_open else self.stop
        if reason is None or lane.endpoint:  # one endpoint of several is recorded, also the last
            self._on_event(Closed(lane.model, stop.message, lane.endpoint, is_last=reason is not None))
        if reason is not None:
            self.stop_run(reason)

    def leave_open(self, work: Work, endpoint: str, *, in_flight: int = 0) -> None:
        """Report the attempts of a row that stays open: its outcome, in a later execution, will not count them.

        Args:
            work: the row.
            endpoint: where they were made.
            in_flight: how many of them have not ended.
        """
        if work.is_canary:
            return
        if work.first is not None:
            self._report(work.first.model, work.before)
        here, attempts, throttled = work.here(endpoint)
        self._report(work.request.model, (*work.elsewhere, (here, attempts - in_flight, throttled)))

    def _report(self, model: str, places: Iterable[tuple[str, int, int]]) -> None:
        for endpoint, attempts, throttled in places:
            if attempts:
                self._on_event(Attempted(model, attempts, throttled, endpoint))

    @property
    def stops(self) -> Mapping[str, Stop]:
        """Model → why nothing more is sent to it, of the models that are closed wherever they are served."""
        closed: dict[str, list[Lane]] = {}
        for lane in self._closed_everywhere:
            closed.setdefault(lane.model, []).append(lane)
        return {model: self._reason(lanes) for model, lanes in closed.items()}

    def at(self, endpoint: str) -> Mapping[str, Stop]:
        """Return model → why nothing more is sent to it at this endpoint."""
        return {lane.model: stop for lane, stop in self._stops.items() if lane.endpoint == endpoint}

    @property
    def stop(self) -> Stop | None:
        """Why the run ends with rows left open; None when no model is closed. A refusal counts more than an outage."""
        closed = self._closed_everywhere
        return self._reason(closed) if closed else None

    @property
    def _closed_everywhere(self) -> list[Lane]:
        return [lane for lane in self._supply.lanes if lane.queue.is_closed]

    def _reason(self, lanes: Sequence[Lane]) -> Stop:
        """Return the reasons of several lanes as one."""
        first = next((lane for lane in self._stops if lane in lanes and self._stops[lane].exit_code == REFUSED), None)
        stop = self._stops[first or next(lane for lane in self._stops if lane in lanes)]
        by_message: dict[str, list[Lane]] = {}
        for lane in lanes:
            by_message.setdefault(self._stops[lane].message, []).append(lane)
        named = (f"{self._names(its)}: {message}" for message, its in by_message.items())
        message = stop.message if len(by_message) == 1 and self._is_everybodys(lanes) else "; and ".join(named)
        return Stop(kind=stop.kind, message=message, exit_code=stop.exit_code)

    def _is_everybodys(self, lanes: Sequence[Lane]) -> bool:
        """Return whether a reason that these have in common need name none of them."""
        all_models = max(len(self._supply.queues), self._models)
        if any(isinstance(each, Lane) for lane in lanes for each in lane.siblings):
            return False  # a reason of one endpoint need not be that of the others
        return not self._of_model and len({lane.model for lane in lanes}) == all_models

    def _names(self, lanes: Sequence[Lane]) -> str:
        """Return which models are meant; which endpoints, where there are several."""
        models = ", ".join(dict.fromkeys(lane.model for lane in lanes))
        endpoints = ", ".join(dict.fromkeys(lane.endpoint for lane in lanes if lane.siblings))
        return f"{models} at {endpoints}" if endpoints else models
