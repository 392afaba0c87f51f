"""Models that nothing more is sent to, because the provider refuses their batches; the others go on. Pure."""

from collections.abc import Callable, Collection

from batchrun.records import Closed, Stop


class ClosedModels:
    """The models that are refused, and why; their rows stay open."""

    def __init__(self, models: Collection[str], endpoint: str, on_event: Callable[[Closed], None]) -> None:
        """Begin with all models open.

        Args:
            models: of the job; none where each request names its own.
            endpoint: its name.
            on_event: takes what is closed while others go on.
        """
        self._models, self._endpoint, self._on_event = models, endpoint, on_event
        self.stops: dict[str, Stop] = {}
        """Model → why it is refused."""

    def close(self, model: str, stop: Stop) -> None:
        """Send nothing more to a model. The first reason is kept."""
        if model in self.stops:
            return
        self.stops[model] = stop
        if not self.is_everything:
            self._on_event(Closed(model, stop.message, self._endpoint))

    @property
    def is_everything(self) -> bool:
        """Whether no model of the job is left."""
        return bool(self._models) and all(model in self.stops for model in self._models)

    @property
    def stop(self) -> Stop | None:
        """Why rows stay open; None where no model is refused."""
        if not self.stops:
            return None
        first = next(iter(self.stops.values()))
        message = "; and ".join(dict.fromkeys(stop.message for stop in self.stops.values()))
        return Stop(kind=first.kind, message=message, exit_code=first.exit_code)
