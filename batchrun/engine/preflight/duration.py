"""How long what is left of a job takes, and what that depends on. Pure.

Models that are served at different endpoints cannot use each other's slots. Requests can be spread as one likes among
the endpoints of their models, so the time is that of the slowest group: of the models of a group together, with the
slots of all endpoints that serve any of them. Source: the max-flow min-cut theorem.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from math import ceil
from typing import NamedTuple

from batchrun.engine.preflight.estimate import Forecast, total
from batchrun.engine.preflight.ranges import Range
from batchrun.job.sections import Job

_MOST_KINDS = 8
"""Sets of endpoints up to which every group of them is looked at; beyond it, each set and all of them together."""


class Bounds(NamedTuple):
    """What the requests of a group of models may use together."""

    slots: int
    """Requests in flight."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Duration(NamedTuple):
    """How long requests take, and why."""

    seconds: Range
    pace: str
    """What it depends on, for people: `with 50 in flight`, `at 600 requests per minute`, or both."""


def duration(job: Job, models: Sequence[Forecast], slots: Mapping[str, int]) -> Duration:
    """Return how long the requests of a job take.

    Args:
        job: that is run.
        models: what each of them will use.
        slots: requests that each of the job's endpoints takes at once, by its name.
    """
    by_places: dict[frozenset[str], list[Forecast]] = {}
    for model in models:
        by_places.setdefault(frozenset(job.serving(model.model)) or frozenset(job.endpoints), []).append(model)
    everywhere = frozenset[str]().union(*by_places)
    slowest: Duration | None = None
    for group in _groups(list(by_places)):
        names = frozenset[str]().union(*group)
        parts = [part for places in group for part in by_places[places]]
        found = _of(parts, bounds_of(job, names, slots))
        if names != everywhere:
            found = found._replace(pace=f"{found.pace} at {', '.join(name for name in job.endpoints if name in names)}")
        slowest = found if slowest is None else _slower(slowest, found)
    return Duration(Range(0.0, 0.0, 0.0), "") if slowest is None else slowest


def bounds_of(job: Job, names: Iterable[str], slots: Mapping[str, int]) -> Bounds:
    """Return what these endpoints allow together, and the job."""
    names = list(names)
    its = [job.endpoints[name] for name in names]
    own = sum(min(slots[name], job.endpoints[name].max_concurrency or slots[name]) for name in names)
    rates = [
        _least(getattr(job.limits, key), _sum([getattr(each, key) for each in its]))
        for key in ("requests_per_minute", "tokens_per_minute")
    ]
    return Bounds(min(own, job.limits.max_concurrency), *rates)


def _sum(rates: Sequence[int | None]) -> int | None:
    """Return the rate of several endpoints together; None where one has none."""
    return None if None in rates else sum(rate for rate in rates if rate is not None)


def _least(*rates: int | None) -> int | None:
    return min((rate for rate in rates if rate is not None), default=None)


def _groups(kinds: Sequence[frozenset[str]]) -> Iterator[Sequence[frozenset[str]]]:
    """Yield all of them together first, then the smaller groups."""
    sizes = range(len(kinds) - 1, 0, -1) if len(kinds) <= _MOST_KINDS else range(1, 2)
    return chain([kinds] if kinds else [], *(combinations(kinds, size) for size in sizes))


def _slower(one: Duration, other: Duration) -> Duration:
    """Return the longer of two times, with what it depends on most."""
    seconds = Range(*map(max, one.seconds, other.seconds))
    return Duration(seconds, other.pace if other.seconds.high > one.seconds.high else one.pace)


def _of(parts: Sequence[Forecast], bounds: Bounds) -> Duration:
    seconds = time_range(parts, bounds)
    counts = {"requests": bounds.requests_per_minute, "tokens": bounds.tokens_per_minute}
    rates = " and ".join(f"{count:,} {what} per minute" for what, count in counts.items() if count)
    unpaced = time_range(parts, Bounds(bounds.slots))
    is_paced = [paced > free for paced, free in zip(seconds, unpaced, strict=True)]
    in_flight = max(1, min(bounds.slots, ceil(sum(part.bundles for part in parts))))
    if not any(is_paced):
        return Duration(seconds, f"with {in_flight:,} in flight")
    up_to = f"with up to {in_flight:,} in flight and at most {rates}"
    return Duration(seconds, f"at {rates}" if all(is_paced) else up_to)


def time_range(parts: Sequence[Forecast], bounds: Bounds) -> Range:
    """Return how long requests take, in seconds, with so many bundles in flight and at these rates."""
    requests = sum(part.bundles for part in parts)
    busy_s = total(part.busy_s for part in parts)
    took_s = busy_s.times(1 / max(1.0, min(bounds.slots, requests)))
    if bounds.requests_per_minute:
        paced_s = 60 * requests / bounds.requests_per_minute
        took_s = Range(*(max(each, paced_s) for each in took_s))
    if bounds.tokens_per_minute:
        tokens = total(part.prompt_tokens.plus(part.completion_tokens) for part in parts)
        paced = tokens.times(60 / bounds.tokens_per_minute)
        took_s = Range(*map(max, took_s, paced))
    return took_s
