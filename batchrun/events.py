"""What happened in a run, beside outcomes: frozen, and cheap, since there may be many."""

from typing import NamedTuple

from batchrun.records import Usage


class Retried(NamedTuple):
    """An attempt failed and its request will be sent again."""

    model: str
    kind: str
    message: str
    wait_s: float


class Paused(NamedTuple):
    """Nothing works: admission pauses, and one request at a time probes."""

    kind: str
    message: str


class Resumed(NamedTuple):
    """The endpoint answers again."""

    after_s: float


class CanaryAnswered(NamedTuple):
    """A request that is no row's has found the endpoint working; it was paid for."""

    model: str
    usage: Usage


Event = Retried | Paused | Resumed | CanaryAnswered
