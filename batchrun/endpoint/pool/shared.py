"""What the endpoints of a run have in common."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from batchrun.endpoint.pool.alarm import Alarm
from batchrun.endpoint.pool.closure import Closure
from batchrun.endpoint.pool.places import Places
from batchrun.endpoint.pool.rules import Listeners
from batchrun.endpoint.pool.supply import Supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the endpoints of a run have in common."""

    supply: Supply
    closure: Closure
    listeners: Listeners
    places: Places
    """Whether a request may be sent, and at which endpoint first."""
    fill: Callable[[], None]
    """Looks for something to send, at all endpoints, and for the end of the run."""
    finish_if_done: Callable[[], None]
    """Looks for the end of the run."""
    feed: Callable[[], None]
    """Has more fresh requests read."""
    alarm: Alarm
    """Looks again at a time."""
    is_alone: bool
    """Whether there is only one endpoint."""
    uniform: Callable[[], float]
    unix_s: Callable[[], float]

    def heard_by(self, on_flight: Callable[[int], None]) -> "Shared":
        """Return the same, for an endpoint whose requests in flight are noted apart."""
        return replace(self, listeners=replace(self.listeners, on_flight=on_flight))
