"""A pause of admission: since when, why, and what its probes have shown. Pure."""

from typing import NamedTuple


class Pause(NamedTuple):
    """Admission is paused."""

    since_s: float
    """The first failure with no success since."""
    began_s: float
    kind: str
    message: str
    is_outage: bool = False
    """Whether a probe has failed during the pause, or the endpoint has crashed."""
    is_crash: bool = False
    """Whether the endpoint has crashed."""
    canaries: int = 0
    """Canaries that failed during the pause."""
    rows: int = 0
    """Rows that failed as probes since the last canary."""
    asks: bool = False
    """Whether a canary must ask if a refusal is the run's."""
