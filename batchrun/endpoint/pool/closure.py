"""Closes a model that is refused or away for too long: nothing more is sent to it, the others continue. Pure.

Its rows stay open for the next execution. The run stops when no model is left, or when the others have come to their
end; then the reason to stop names every closed model.
"""

from collections.abc import Callable

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.lane import Lane
from batchrun.errors import EndpointRefused
from batchrun.records import Attempted, Closed, Event, Stop

REFUSED = EndpointRefused.exit_code
"""Exit code of a run whose requests are refused, where the kind has none."""


class Closure:
    """The models that are closed, and why."""

    def __init__(
        self, admission: Admission, models: int, on_event: Callable[[Event], None], stop: Callable[[Stop], None]
    ) -> None:
        """Begin with all models open.

        Args:
            admission: has the models that have had a request.
            models: how many the job has; those that were done before have had none.
            on_event: takes what is closed, and the attempts of rows that stay open.
            stop: stops the run.
        """
        self._admission, self._models, self._on_event, self._stop_run = admission, models, on_event, stop
        self.stops: dict[str, Stop] = {}
        """Model → why it is closed."""
        self._of_model: set[str] = set()  # closed for a reason that must name the model

    def close(self, lane: Lane, stop: Stop, *, is_of_model: bool = False) -> None:
        """Send nothing more to a model; stop the run when no model is left.

        Args:
            lane: of the model.
            stop: the reason, which does not name the model.
            is_of_model: whether the reason must name the model even if there is no other.
        """
        if lane.is_closed:
            return
        self.stops[lane.model] = stop
        if is_of_model:
            self._of_model.add(lane.model)
        for work in lane:
            self.leave_open(lane, work)
        self._admission.close(lane)
        if not self._admission.is_open and (reason := self.stop) is not None:
            self._stop_run(reason)
        else:
            self._on_event(Closed(lane.model, stop.message))

    def leave_open(self, lane: Lane, work: Work) -> None:
        """Report the attempts of a row that stays open: its outcome, in a later execution, will not count them."""
        if work.attempts and not work.is_canary:
            self._on_event(Attempted(lane.model, work.attempts, work.throttled))

    @property
    def stop(self) -> Stop | None:
        """Why the run ends with rows left open; None when no model is closed. A refusal counts more than an outage."""
        if not self.stops:
            return None
        first = next(
            (each for each in self.stops.values() if each.exit_code == REFUSED), next(iter(self.stops.values()))
        )
        models: dict[str, list[str]] = {}  # by message
        for model in (lane.model for lane in self._admission.lanes if lane.is_closed):
            models.setdefault(self.stops[model].message, []).append(model)
        all_models = max(len(self._admission.lanes), self._models)
        is_everybodys = len(models) == 1 and not self._of_model and len(self.stops) == all_models
        named = (f"{', '.join(names)}: {message}" for message, names in models.items())
        return Stop(
            kind=first.kind,
            message=first.message if is_everybodys else "; and ".join(named),
            exit_code=first.exit_code,
        )
