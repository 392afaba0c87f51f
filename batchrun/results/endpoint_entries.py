"""The endpoints of a run as run.json has them, where there are several."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batchrun.checkpoint.history import CLOSED, ExecutionTimes, PauseTimes
from batchrun.job.sections import Job
from batchrun.records import AnswerSource, EndpointFigures, ModelTotals, Parts, named_endpoint, summed
from batchrun.results.executions import utc_text
from batchrun.results.prices import PriceOf
from batchrun.results.recorded import Recorded
from batchrun.results.usage import cost_of_parts, least_cost_of_parts

AWAY, OPEN = "away", "open"

_SUMS = ("requests", "completed", "failed", "attempts", "throttled")


def endpoint_entries(job: Job, parts: Parts, prices: PriceOf, recorded: Recorded) -> list[dict[str, Any]]:
    """Return one entry per endpoint, as `Summary.endpoints` describes them: those of the job first, in its order.

    Args:
        job: that is run.
        parts: the totals.
        prices: of each model at each endpoint.
        recorded: what the checkpoint has noted.
    """
    if not job.has_several_endpoints and not any(named_endpoint(source.endpoint) for source in parts):
        return []
    names = dict.fromkeys(
        name for name in (*job.endpoints, *(named_endpoint(source.endpoint) for source in parts)) if name
    )
    figures = {each.name: each for each in recorded.endpoints}
    executions = recorded.executions
    return [
        {
            "name": name,
            "base_url": job.endpoints[name].base_url if name in job.endpoints else None,
            **_sums(
                {source: sums for source, sums in parts.items() if named_endpoint(source.endpoint) == name}, prices
            ),
            "in_flight": figures[name].in_flight if name in figures else 0,
            "limit": figures[name].limit if name in figures else recorded.limits.get(name, 0),
            **_state(name, figures.get(name), executions[-1] if executions else None),
        }
        for name in names
    ]


def _sums(parts: Mapping[AnswerSource, ModelTotals], prices: PriceOf) -> dict[str, Any]:
    sums = summed(parts.values())
    counts = {name: getattr(sums, name) for name in _SUMS}
    costs = {
        "cost_usd": cost_of_parts(parts, prices) if parts else 0.0,
        "least_cost_usd": least_cost_of_parts(parts, prices) if parts else 0.0,
    }
    return {**counts, **sums.usage._asdict(), **costs}


def _state(name: str, figures: EndpointFigures | None, execution: ExecutionTimes | None) -> dict[str, Any]:
    """Return whether requests are sent there, since when not, and why."""
    pauses = [] if execution is None else [each for each in execution.endpoint_pauses if each.endpoint == name]
    if figures is None:  # it does not run: what it was refused for still holds, and what was away at its end
        last = _last(each for each in pauses if each.kind == CLOSED or _lasted(each, execution))
        return _stated(None if last is None else CLOSED if last.kind == CLOSED else AWAY, last, "")
    is_open = figures.state == OPEN
    return _stated(figures.state, None if is_open else _last(pauses), figures.reason)


def _lasted(pause: PauseTimes, execution: ExecutionTimes | None) -> bool:
    """Return whether a pause lasted to the end of its execution, which ends all pauses."""
    return execution is not None and pause.ended_at_ms == execution.ended_at_ms


def _stated(state: str | None, pause: PauseTimes | None, reason: str) -> dict[str, Any]:
    since_ms = None if pause is None else pause.started_at_ms
    return {"state": state, "since": utc_text(since_ms), "message": reason or ("" if pause is None else pause.message)}


def _last(pauses: Iterable[PauseTimes]) -> PauseTimes | None:
    found: Sequence[PauseTimes] = list(pauses)
    return found[-1] if found else None
