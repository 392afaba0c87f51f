"""The endpoints of a run, where there are several, as lines for people."""

from collections.abc import Mapping
from typing import Any

from batchrun.job.catalogue import spent_text
from batchrun.report.texts import counted
from batchrun.results.endpoint_entries import OPEN
from batchrun.results.executions import local_time
from batchrun.results.summary import Summary


def endpoint_lines(summary: Summary) -> list[str]:
    """Return a line for each endpoint; none where there is one. Times are local."""
    return [
        f"{'' if number else 'endpoints':<9} {each['name']}: {_text(each, summary)}"
        for number, each in enumerate(summary.endpoints)
    ]


def _text(endpoint: Mapping[str, Any], summary: Summary) -> str:
    parts = [counted(endpoint["requests"], "row")]
    if endpoint["failed"]:
        parts.append(f"{endpoint['failed']:,} failed")
    if endpoint["throttled"]:
        least = "at least " if summary.state == "running" else ""  # rows that wait are not counted yet
        parts.append(f"{least}{endpoint['throttled']:,} throttled")
    if endpoint["state"] == OPEN:
        parts.append(f"{endpoint['in_flight']}/{endpoint['limit']} in flight")
    if endpoint["least_cost_usd"] and not summary.simulated:
        least = "at least " if endpoint["cost_usd"] is None else ""  # a price is not known
        parts.append(f"{least}{spent_text(endpoint['least_cost_usd'])} USD")
    return "; ".join(filter(None, [", ".join(parts), _state(endpoint)]))


def _state(endpoint: Mapping[str, Any]) -> str:
    """Return why requests are not sent there, or not all of them; empty where nothing is wrong."""
    if endpoint["state"] in (OPEN, None):
        return str(endpoint["message"])
    since = "" if endpoint["since"] is None else f" since {local_time(endpoint['since']):%Y-%m-%d %H:%M}"
    return f"{endpoint['state']}{since}: {endpoint['message']}".rstrip(": ")
