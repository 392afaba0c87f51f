"""Reports when a model is away and when it is back: the only place that does, so that all who show it agree. Pure.

Admission often pauses for a moment only: many rows fail by chance, and the first probe is answered. That is not
reported. It is reported as soon as a probe has failed too, or when it has lasted for two seconds: a probe may take long
to fail, and nothing else is sent meanwhile. While an endpoint has never replied, it is reported at once. The absence
began with the first failure that no success followed.
"""

from collections.abc import Callable

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.pause import Pause
from batchrun.records import Event, Paused, Resumed

_UNNOTICED_S = 2.0
"""A pause that nobody notices: rows take about as long."""


class Absence:
    """The models of an endpoint that are reported as away."""

    def __init__(self, admission: Admission, on_event: Callable[[Event], None]) -> None:
        self._admission, self._on_event = admission, on_event
        self._reported: set[str] = set()

    def begins(self, lane: Lane, now_s: float) -> None:
        """Report that a model is away, once."""
        pause = lane.health.pause
        if pause is not None and lane.model not in self._reported:
            self._reported.add(lane.model)
            for_s, silent_s = now_s - pause.since_s, lane.quiet_s(now_s)
            self._on_event(Paused(lane.model, pause.kind, pause.message, for_s, lane.endpoint, silent_s))

    def look(self, now_s: float, *, is_heard: bool) -> None:
        """Report the pauses that have lasted too long; call it every few moments.

        Args:
            now_s: the time.
            is_heard: whether the endpoint has ever replied.
        """
        for lane in self._admission.lanes:
            pause = lane.health.pause
            if pause is not None and not pause.asks and (not is_heard or now_s - pause.began_s >= _UNNOTICED_S):
                self.begins(lane, now_s)

    def report_all(self, now_s: float) -> None:
        """Report each pause, also one in which it was still asked whether everybody is refused: the run is over."""
        for lane in self._admission.lanes:
            self.begins(lane, now_s)

    def ends(self, lane: Lane, pause: Pause, now_s: float) -> None:
        """Report that a model is back, if it was reported as away."""
        if lane.model in self._reported:
            self._reported.remove(lane.model)
            self._on_event(Resumed(lane.model, round(now_s - pause.since_s, 3), lane.endpoint))

    @property
    def _away(self) -> dict[str, Pause]:
        pauses = {lane.model: lane.health.pause for lane in self._admission.lanes if lane.model in self._reported}
        return {model: pause for model, pause in pauses.items() if pause is not None}

    @property
    def reason(self) -> str | None:
        """Which models are away and why, for people; None when none is."""
        away = {model: f"{pause.kind}: {pause.message}" for model, pause in self._away.items()}
        if not away:
            return None
        whose = f"{', '.join(away)}: " if len(self._admission.lanes) > 1 else ""
        return f"{whose}{next(iter(away.values()))}"

    @property
    def since_s(self) -> float | None:
        """Since when the first of these is away; None when none is."""
        return min((pause.since_s for pause in self._away.values()), default=None)

    @property
    def probe_s(self) -> float | None:
        """When a paused model may be asked next whether it answers again; None when none is paused."""
        return min(self._probes_s, default=None)

    def next_probe_s(self, now_s: float) -> float | None:
        """Return when one will be asked next; None also while it is being asked, or nothing can be sent to ask it."""
        return min((probe_s for probe_s in self._probes_s if probe_s > now_s), default=None)

    @property
    def _probes_s(self) -> list[float]:
        return [lane.health.probe_at_s for lane in self._admission.lanes if lane.health.pause is not None]
