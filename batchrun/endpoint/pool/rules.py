"""What a pool is given: the rules that it decides by, and the listeners that it reports to. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from batchrun.endpoint.pool.budget import Budget
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.repair import Repair
from batchrun.endpoint.pool.retry import Backoff
from batchrun.endpoint.pool.room import Canary
from batchrun.endpoint.pool.strict import Strictness
from batchrun.endpoint.pool.verdicts import table_cure
from batchrun.records import Event, Outcome, Request


def _no_request(_: str) -> None:
    """Return nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often and how long to try."""

    max_attempts: int = 5
    timeout_s: float = 600.0
    """How long an attempt takes at most."""
    patience_s: float = 43_200.0
    """How long a model may be away until nothing more is sent to it."""
    unheard_s: float = 60.0
    """How long an endpoint that has never replied is waited for: an outage is rarer than a wrong URL."""
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a pool decides by."""

    policy: Policy
    canary: Canary
    """Makes the request that finds out whether a model answers where rows cannot show it."""
    rates: Rates | None = None
    """Requests and tokens per minute."""
    repair: Repair | None = None
    """Checks answers against the job's schema."""
    join: Callable[[Sequence[Request]], Request] | None = None
    """Makes one request of some requests of a bundle; None where there are no bundles."""
    strict: Strictness | None = None
    """Sends the schema without `strict` to models that refuse it; None where it is not sent."""
    budget: Budget | None = None
    """Caps on money and tokens."""
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    """Model → the model that is asked, once, for a row that has failed there for its own reason."""
    models: int = 1
    """How many models the job names: where there are several, the reason to stop names those that it is of."""
    answered: Collection[str] = ()
    """Models that answered in earlier executions: their first refusal need not be the whole run's."""
    answered_before: Callable[[str], Request | None] = _no_request
    """Returns the request of a row that a model has answered in an earlier execution; None without one."""
    is_heard: bool = False
    """Whether the endpoint has replied to earlier executions."""
    place: str = "the endpoint"
    """The endpoint, in messages: its base URL."""
    cure_of: Callable[[str, str], str] = table_cure
    """Returns what the user can do about a stop of a kind, by a model."""


def _ignore(_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Functions that a pool calls at once, on its event loop; none of them may block."""

    on_outcome: Callable[[Outcome], None]
    """Takes every outcome."""
    on_flight: Callable[[int], None] = _ignore
    """Takes how many requests are in flight, before one is sent and after one was settled."""
    on_event: Callable[[Event], None] = _ignore
    """Takes outages, and what was spent and attempted for no outcome."""
