"""The tables of a run's models, and of its endpoints where there are several: rows, speed, tokens and cost of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.job.catalogue import spent_text
from batchrun.report.tally import ModelTally, Tally
from batchrun.report.ticks import number_text
from batchrun.results.endpoint_entries import OPEN

_COLUMNS = {
    "completed": "completed",
    "failed": "failed",
    "cost_text": "USD",
    "rate": "rows/min",
    "tokens_per_s": "tokens/s",
    "median_s": "latency p50, s",
    "p90_s": "p90, s",
    "p99_s": "p99, s",
    "attempts": "requests",
    "throttled": "throttled",
    "limit": "limit",
    "prompt_tokens": "tokens in",
    "cached_tokens": "cached",
    "completion_tokens": "tokens out",
    "reasoning_tokens": "reasoning",
}
"""Key of an entry → head of the column. The cost is among the first: on a narrow screen the last are scrolled to."""

_LEFT_OUT = ("failed", "throttled", "limit", "cached_tokens", "reasoning_tokens")
"""Columns that are left out where they are zero for all entries, or none has them."""


def columns_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the columns of a table with these entries: key → head."""
    empty = [key for key in _LEFT_OUT if not any(each.get(key) for each in entries)]
    return {key: head for key, head in _COLUMNS.items() if key not in empty}


def model_entries(models: Sequence[Mapping[str, Any]], found: Tally) -> list[dict[str, Any]]:
    """Return the models of run.json with their speed, and their cost as a text."""
    return [_entry(each, found.models.get(each["model"]), found) for each in models]


def endpoint_entries(endpoints: Sequence[Mapping[str, Any]], found: Tally) -> list[dict[str, Any]]:
    """Return the endpoints of run.json likewise; the name has the state where that is worth a word."""
    entries = []
    for each in endpoints:
        its = found.endpoints.get(each["name"])
        state = f" ({each['state']})" if each["state"] not in (None, OPEN) else ""
        entries.append(_entry({**each, "endpoint": each["name"] + state}, None if its is None else its.rows, found))
    return entries


def _entry(entry: Mapping[str, Any], its: ModelTally | None, found: Tally) -> dict[str, Any]:
    usd, least_usd = entry["cost_usd"], entry.get("least_cost_usd")  # which models do not have
    least = "no price known" if least_usd is None else f"at least {spent_text(least_usd)}"
    return {**entry, **_speed(its, found), "cost_text": least if usd is None else spent_text(usd)}


def _speed(its: ModelTally | None, found: Tally) -> dict[str, str]:
    """Return how fast rows were answered, as texts: see `Tally.running_s`."""
    speed = dict.fromkeys(("rate", "tokens_per_s", "median_s", "p90_s", "p99_s"), "–")
    if its is None:
        return speed
    seconds = found.running_s(its) if its.rows else 0.0
    if seconds > 0:
        speed["rate"] = number_text(60 * its.rows / seconds)
        speed["tokens_per_s"] = number_text(its.completion_tokens / seconds)
    if its.latency_s.count:
        shares = {"median_s": 0.5, "p90_s": 0.9, "p99_s": 0.99}
        speed |= {name: number_text(its.latency_s.quantile(share)) for name, share in shares.items()}
    return speed
