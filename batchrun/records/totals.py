"""Sums over a run, and its progress at one moment."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from batchrun.records.outcomes import AnswerSource, Usage


class ModelTotals(NamedTuple):
    """The sums over one model's requests in a run."""

    requests: int = 0
    completed: int = 0
    failed: int = 0
    attempts: int = 0
    throttled: int = 0
    """Attempts that the endpoint rejected because of concurrency or a rate."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unstated: int = 0
    """Answers without token counts, or with only a part of them. They are in none of the sums."""
    stated_as_0: frozenset[str] = frozenset()
    """Names of the token counts that are 0 because answers stated 0, and not because none stated them."""

    @property
    def usage(self) -> Usage:
        """The sums of the token counts; None for one that no answer stated. All are 0 while there is no answer."""
        sums = Usage(*(getattr(self, name) for name in Usage._fields))
        if not (self.completed or self.unstated or any(sums)):
            return sums
        named = zip(Usage._fields, sums, strict=True)
        return Usage(*(tokens if tokens or name in self.stated_as_0 else None for name, tokens in named))


def summed(totals: Iterable[ModelTotals]) -> ModelTotals:
    """Return the sums over all models."""
    listed = [ModelTotals(), *totals]
    sums = {name: sum(getattr(each, name) for each in listed) for name in ModelTotals._fields[:-1]}
    return ModelTotals(**sums, stated_as_0=frozenset().union(*(each.stated_as_0 for each in listed)))


def difference(before: ModelTotals, after: ModelTotals) -> ModelTotals:
    """Return what was added to totals; no count is below 0."""
    counts: dict[str, int] = {
        name: max(0, getattr(after, name) - getattr(before, name)) for name in ModelTotals._fields[:-1]
    }
    stated = (name for name, tokens in after.usage._asdict().items() if tokens is not None)
    return ModelTotals(**counts, stated_as_0=frozenset(stated))


Parts = Mapping[AnswerSource, ModelTotals]
"""The sums over a run by source, model by model: those of a model's parts add up to its own."""


def parts_of(totals: Mapping[str, ModelTotals], sources: Parts) -> dict[AnswerSource, ModelTotals]:
    """Return the parts of a run.

    Args:
        totals: by model.
        sources: what has a source of its own; the rest of a model comes from the only endpoint.
    """
    parts: dict[AnswerSource, ModelTotals] = {}
    for model, sums in totals.items():
        own = {source: its for source, its in sources.items() if source.model == model}
        rest = difference(summed(own.values()), sums) if own else sums
        if not own or any(rest[:-1]):
            parts[AnswerSource(model)] = rest
        parts |= own
    return parts


class RowCount(NamedTuple):
    """A number of rows, and whether it is certain."""

    rows: int
    is_exact: bool
    """False for a guess, which is shown as "about"."""


class EndpointFigures(NamedTuple):
    """One endpoint of several at one moment."""

    name: str
    in_flight: int
    limit: int
    throttled: int = 0
    """Attempts of this execution that it rejected because of concurrency or a rate."""
    state: str = "open"
    """`open`, `away` (no model there answers), or `closed` (nothing more is sent there)."""
    reason: str = ""
    """Why it is away or closed, or why a part of what it serves waits; empty when nothing is wrong."""


class BatchFigures(NamedTuple):
    """One batch of a run that is sent in batches, at one moment."""

    number: int
    """Of the run's batches, from 1."""
    name: str
    """The provider's; empty until it has one."""
    status: str
    """The provider's, such as `in_progress`; before it has one, `writing`, `uploading` or `waiting`; at the end,
    `collected`."""
    requests: int
    completed: int
    """Answered, as far as the provider reports it."""
    failed: int
    expires_at_ms: int | None
    """Unix time."""
    model: str = ""


ENDED = "ended"
"""State of the workers of an execution that has ended."""

AT_END: Mapping[str, Any] = {"in_flight": 0, "limit": 0, "rows": 0, "state": ENDED}
"""What is different of a worker then."""


class WorkerFigures(NamedTuple):
    """One worker of a run on a cluster at one moment, by its last word."""

    worker: int
    """Its number, from 1; one that is started in the place of a dead one has the same."""
    node: str
    """Name of its machine; empty until it has one."""
    in_flight: int
    limit: int
    """How many requests it may have in flight."""
    rows: int
    """Rows that it has and that have no outcome yet."""
    state: str = "open"
    """`open`, `silent` (others have its slots, it has its rows), `starting`, or `ended` with its execution."""
    answered: int = 0
    """Rows that it has given an outcome in this execution, with those of dead ones in the same place."""

    @property
    def has_ended(self) -> bool:
        """Whether its execution has."""
        return self.state == ENDED

    def at_end(self) -> "WorkerFigures":
        """Return the figures when its execution has ended: what it did, and where."""
        return self._replace(**AT_END)


class Figures(NamedTuple):
    """The progress of a run at one moment."""

    done: int
    """Settled rows, earlier executions included."""
    total: RowCount | None
    """All rows; None while the number is not known."""
    failed: int
    throttled: int
    tokens: int | None
    """Of prompts and answers; None when no answer stated them."""
    in_flight: int
    limit: int
    waiting: int
    """Requests that wait to be sent again."""
    pause: str | None
    """Why nothing is sent; None while requests are sent."""
    paused_since_ms: int | None = None
    """Since when; Unix time."""
    probe_at_ms: int | None = None
    """When a paused endpoint is asked next whether it answers again; Unix time."""
    rate_per_s: float | None = None
    """Rows settled per second in recent minutes; None in a pause, and while it is not known."""
    cost_usd: float | None = None
    """What the answers have cost; None where no cap is set, or a price is not known."""
    cap_usd: float | None = None
    """The most that the run may cost."""
    stopping: str | None = None
    """Why nothing more is sent, while what is in flight is waited for; None while requests are sent."""
    drained_by_ms: int | None = None
    """Until when it is waited for at most; Unix time."""
    unwanted: int = 0
    """Rows that stay open, because nothing more is sent to their model."""
    endpoints: tuple[EndpointFigures, ...] = ()
    """Each endpoint; empty where there is one."""
    workers: tuple[WorkerFigures, ...] = ()
    """Each worker; empty where this process sends."""
    batches: tuple[BatchFigures, ...] | None = None
    """Each batch that is not collected; None where requests are sent one by one."""


class LaneState(NamedTuple):
    """What those who watch are shown of a model at an endpoint."""

    model: str
    is_closed: bool
    """Whether nothing more is sent."""
    is_paused: bool
    """Whether it is away."""
