"""What a failed attempt was, why it was refused, and what its row may have to pay for it. Pure."""

from enum import Enum
from typing import NamedTuple

from batchrun.endpoint.pool.reason import Reason

_CANARIES = 5
"""Canaries that must be refused for that reason, one after the other, until a model that has answered rows counts as
refused, where its account is empty. A server that refuses one request in ten by chance refuses five one after the other
once in 100,000 times."""

_CANARIES_OF_OTHERS = 20
"""The same for all other reasons: ten seconds, by the waits between probes. While an ingress, a login service or the
database of a proxy restarts, everything is refused with a 404, 401, 400, 403 or a redirect."""

_CANARIES_OF_MODEL = 50
"""The same where a server that fails (5xx) does not know the model: a minute, by the waits between probes. A gateway
that restarts knows no model for a while."""

_OF_MODEL = "model_not_found"


class Loss(Enum):
    """How the endpoint was gone before it had answered."""

    UNREACHED = "no connection was made"
    STALE = "a kept connection broke at once"
    BROKEN = "a connection broke, or a gateway's to the server behind it"


class Failure(NamedTuple):
    """A failed attempt, by the row's fault or by the endpoint's."""

    kind: str
    message: str
    cost: int
    """What the row pays if the fault is its own."""
    sent_s: float
    failed_s: float
    in_flight: int
    """How many requests of the model are left in flight."""
    was_probe: bool
    loss: Loss | None = None
    """How the endpoint was gone, if it was."""
    is_trial: bool = False
    """Whether the row is the only one on trial that may take the endpoint down."""
    is_own: bool = False
    """Whether the row has failed before while requests in flight with it were answered: then it shows no crash."""
    is_blamed: bool = False
    """Whether the row has failed before while the endpoint worked: its failures say little about the endpoint."""


class Suspicion(NamedTuple):
    """What a row may have to pay."""

    cost: int
    last_s: float
    """When it last failed."""
    first_sent_s: float
    """When the first of its failed attempts was sent; infinite while none was."""


class Refusal(NamedTuple):
    """Why a request was refused."""

    kind: str
    is_named: bool
    """Whether the kind alone says why."""
    status: int
    reason: Reason
    is_open: bool = False
    """Whether its kind keeps rows open: it may be the run's although a canary is answered."""
    is_lasting: bool = False
    """Whether waiting does not help: an account is empty."""

    def is_like(self, other: "Refusal") -> bool:
        """Return whether both are refused for the same reason, as far as one can see."""
        if self.kind == other.kind and self.is_named:
            return True
        return self.status == other.status and self.reason.is_like(other.reason)

    @property
    def canaries(self) -> int:
        """How many canaries must be refused for it until a model that has answered rows counts as refused."""
        if self.is_lasting:
            return _CANARIES
        is_starting = self.status >= 500 and self.kind == _OF_MODEL
        return _CANARIES_OF_MODEL if is_starting else _CANARIES_OF_OTHERS
