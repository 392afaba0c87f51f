"""A line for each endpoint of several says what it has done, and why it does nothing."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from batchrun.cli.endpoint_texts import endpoint_lines
from batchrun.results.summary import Summary


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local times are UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


EAST: dict[str, Any] = {
    "name": "east",
    "requests": 12_345,
    "failed": 0,
    "throttled": 0,
    "in_flight": 20,
    "limit": 20,
    "cost_usd": 1.25,
    "least_cost_usd": 1.25,
    "state": "open",
    "since": None,
    "message": "",
}


NO_COST: dict[str, Any] = {"cost_usd": None, "least_cost_usd": None}


def lines(*endpoints: dict[str, Any], simulated: bool = False, state: str = "running") -> list[str]:
    run = SimpleNamespace(endpoints=list(endpoints), simulated=simulated, state=state)
    return endpoint_lines(cast("Summary", run))


def test_an_endpoint_that_is_open_shows_its_rows_and_what_is_in_flight() -> None:
    assert lines(EAST, EAST | {"name": "west", "requests": 1, "failed": 1, "throttled": 1_000, **NO_COST}) == [
        "endpoints east: 12,345 rows, 20/20 in flight, 1.2500 USD",
        "          west: 1 row, 1 failed, at least 1,000 throttled, 20/20 in flight",
    ]


def test_an_endpoint_where_some_prices_are_known_shows_what_it_has_cost_at_least() -> None:
    assert lines(EAST | {"cost_usd": None})[0].endswith(", at least 1.2500 USD")


def test_an_endpoint_that_is_away_or_closed_shows_why() -> None:
    away = {"state": "away", "since": "2026-11-28T00:10:00.000+00:00", "message": "timeout: no answer"}
    closed = {"state": "closed", "message": "the key is refused"}
    assert lines(EAST | away, EAST | closed) == [
        "endpoints east: 12,345 rows, 1.2500 USD; away since 2026-11-28 00:10: timeout: no answer",
        "          east: 12,345 rows, 1.2500 USD; closed: the key is refused",
    ]


def test_what_only_some_rows_wait_for_is_shown_too() -> None:
    (line,) = lines(EAST | {"message": "a rate was exceeded"}, simulated=True)
    assert line == "endpoints east: 12,345 rows, 20/20 in flight; a rate was exceeded"


def test_a_run_that_has_ended_shows_what_each_has_done() -> None:
    ended = EAST | {"state": None, "throttled": 7}
    assert lines(ended, state="completed") == ["endpoints east: 12,345 rows, 7 throttled, 1.2500 USD"]
    assert lines() == []
