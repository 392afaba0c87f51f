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
    """Nothing works of a model: its rows wait, and one request at a time probes."""

    model: str
    kind: str
    message: str


class Resumed(NamedTuple):
    """The endpoint answers again for a model."""

    model: str
    after_s: float


class Spent(NamedTuple):
    """An answer was paid for that is no row's: a canary's, one of no use, or one that did not fit the job's schema."""

    model: str
    usage: Usage


class Attempted(NamedTuple):
    """Attempts were made that are in no outcome: a canary's, or those of a row that stays open."""

    model: str
    attempts: int
    throttled: int


Event = Retried | Paused | Resumed | Spent | Attempted
