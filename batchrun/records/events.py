"""What else happens in a run, and why one stops."""

from dataclasses import dataclass
from typing import NamedTuple

from batchrun.records.outcomes import Usage


class Paused(NamedTuple):
    """No request of a model succeeds: its rows wait, and one request at a time probes the endpoint."""

    model: str
    kind: str
    message: str
    for_s: float = 0.0
    """How long it has lasted when it is reported: since the first failure that no success followed."""
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    silent_s: float = 0.0
    """How much of the patience is over when it is reported: a request that timed out was silent before it failed."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""


class Resumed(NamedTuple):
    """The endpoint answers again for a model."""

    model: str
    after_s: float
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""


class Spent(NamedTuple):
    """A paid answer that became no row's outcome: a canary's, an unusable one, or one that did not fit the schema."""

    model: str
    usage: Usage
    endpoint: str = ""


class Attempted(NamedTuple):
    """Attempts that are in no outcome: a canary's, or those of a row that stays open."""

    model: str
    attempts: int
    """Below 0 where an outcome has more than were made at its source."""
    throttled: int
    endpoint: str = ""
    answered_by: str = ""
    """The model that was asked in place of `model`, as its fallback; empty without one."""


class Loosened(NamedTuple):
    """A model refuses `strict`: it gets the schema without it from now on."""

    model: str
    message: str
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""


class Narrowed(NamedTuple):
    """A model takes fewer rows or samples in one request than it was asked for: it is asked for no more from now on."""

    model: str
    asked: int
    """How many rows or samples the request asked for."""
    most: int
    """How many a request asks for from now on."""
    message: str
    """Of the refusal; empty where the answer had fewer."""
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""
    are_rows: bool = False
    """Whether these are rows; otherwise the samples of a row."""


class Closed(NamedTuple):
    """Nothing more is sent to a model, which is refused or was away for too long. The other models continue."""

    model: str
    message: str
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""
    is_last: bool = False
    """Whether it was the last endpoint of the run that was sent anything: the run stops, and says why."""


class GivenUp(NamedTuple):
    """Attempts were given up that took `after_s` or longer; if `is_last`, their rows stay open: the run is stopped."""

    model: str
    requests: int
    after_s: float
    slowest_s: float
    is_last: bool = False
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one."""
    node: str = ""
    """The node whose own endpoint it is, where several nodes of a cluster have their own."""


Event = Paused | Resumed | Spent | Attempted | Loosened | Narrowed | Closed | GivenUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run drains and stops before every row is settled."""

    kind: str
    """One word for the cause: `interrupted`, `deadline`, `failure` or a verdict."""
    message: str
    """The cause and the cure, for people."""
    exit_code: int
    signal: str = ""
    """Name of the signal of an interruption, such as `SIGTERM`; empty when it came from the caller."""
