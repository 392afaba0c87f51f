"""The history of a run as lines."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from batchrun.cli.history_texts import history_lines
from batchrun.results.summary import Summary


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local times are in UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def execution(**changes: Any) -> dict[str, Any]:
    """An entry of run.json: an execution from before midnight to the morning."""
    return {
        "started_at": "2026-11-27T22:00:05.000+00:00",
        "ended_at": "2026-11-28T05:30:00.250+00:00",
        "until": "2026-11-28T05:30:00.250+00:00",
        "state": "stopped",
        "ended_by": "deadline",
        "message": "stop_at 05:30 has come; run the same command again to resume",
        "running_s": 26_995.25,
        "rows": 12_000,
        "failed": 3,
        "attempts": 12_100,
        "cost_usd": 1.25,
        "least_cost_usd": changes.get("cost_usd", 1.25),
        "pauses": [],
        "endpoint_pauses": [],
        **changes,
    }


def test_where_one_of_two_models_has_a_price_the_cost_is_named_at_least() -> None:
    (line,) = lines(execution(cost_usd=None, least_cost_usd=0.125))
    assert ", at least 0.1250 USD; " in line


def pause(**changes: Any) -> dict[str, Any]:
    """A pause of 45 minutes after midnight."""
    return {
        "model": "m",
        "kind": "overloaded",
        "message": "please try again later",
        "started_at": "2026-11-28T00:10:00.000+00:00",
        "ended_at": "2026-11-28T00:55:10.000+00:00",
        **changes,
    }


def lines(*executions: dict[str, Any], simulated: bool = False, several: bool = False) -> list[str]:
    run = SimpleNamespace(
        executions=list(executions), simulated=simulated, directory="runs/a", has_several_models=several
    )
    return history_lines(cast("Summary", run))


def test_an_execution_has_its_times_rows_cost_and_ending() -> None:
    """A later time has a date only on another day; a deadline is named as in the message."""
    assert lines(execution(pauses=[pause()])) == [
        "history   2026-11-27 22:00:05 to 2026-11-28 05:30:00 (7 h 29 min): 12,000 rows, 3 failed, 1.2500 USD; "
        "stop_at 05:30 has come",
        "            paused 2026-11-28 00:10:00 to 00:55:10 (45 min 10 s): overloaded: please try again later",
    ]


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({"state": "died", "ended_by": "killed", "message": ""}, "; killed"),
        ({"state": "died", "ended_by": "restarted", "message": ""}, "; the machine was restarted"),
        ({"state": "completed", "ended_by": "done", "message": ""}, "; done"),
        ({"state": "interrupted", "ended_by": "SIGINT", "message": "Ctrl-C: kept"}, "; Ctrl-C: kept"),
        ({"state": "stopped", "ended_by": "stopped", "message": ""}, "; stopped"),
        ({"ended_by": "refused", "message": "no such key; check it"}, "; refused by the endpoint: no such key"),
        (
            {"ended_by": "refused", "message": "m at a: no key; check A; run it again; and m at b: bad key; check B"},
            "; refused by the endpoint: m at a: no key; and m at b: bad key",
        ),
        ({"message": "x" * 300}, "; " + "x" * 199 + "…"),
    ],
)
def test_an_ending_is_named(changes: dict[str, Any], ending: str) -> None:
    (line,) = lines(execution(**changes))
    assert line.endswith(f" USD{ending}")


def test_an_older_version_recorded_neither_rows_nor_cost() -> None:
    (line,) = lines(execution(rows=None, failed=None, attempts=None, cost_usd=None))
    assert "(7 h 29 min); stop_at" in line


def test_what_cost_nothing_shows_no_cost() -> None:
    """Neither a simulated execution nor one that sent nothing."""
    assert " USD" not in lines(execution(), simulated=True)[0]
    assert " USD" not in lines(execution(rows=0, failed=0, attempts=0, cost_usd=0.0))[0]
    assert " USD" not in lines(execution(rows=0, failed=0, attempts=60, cost_usd=0.0))[0]


def test_with_several_models_a_pause_names_its_own() -> None:
    """The others were answered meanwhile."""
    (_, line) = lines(execution(pauses=[pause()]), several=True)
    assert line.endswith(f" (45 min 10 s): {pause()['model']}: overloaded: please try again later")


def test_an_endpoint_that_was_away_or_closed_is_named() -> None:
    """In the order of time, between the pauses of all."""
    away = pause(endpoint="east", started_at="2026-11-28T00:05:00.000+00:00")
    closed = pause(
        endpoint="west", kind="closed", message="the key is refused", ended_at="2026-11-28T05:30:00.250+00:00"
    )
    shown = lines(execution(pauses=[pause(started_at="2026-11-28T00:07:00.000+00:00")], endpoint_pauses=[away, closed]))
    assert [line.strip() for line in shown[1:]] == [
        "east away 2026-11-28 00:05:00 to 00:55:10 (50 min 10 s): overloaded: please try again later",
        "paused 2026-11-28 00:07:00 to 00:55:10 (48 min 10 s): overloaded: please try again later",
        "west closed 2026-11-28 00:10:00 to 05:30:00 (5 h 20 min): the key is refused",
    ]


def test_a_live_execution_and_its_pause_have_no_end() -> None:
    live = execution(state="running", ended_at=None, ended_by="", message="", pauses=[pause(ended_at=None)])
    assert lines(live) == [
        "history   2026-11-27 22:00:05, running for 7 h 29 min: 12,000 rows, 3 failed, 1.2500 USD",
        "            paused since 2026-11-28 00:10:00: overloaded: please try again later",
    ]


def test_only_the_last_executions_and_pauses_are_shown() -> None:
    """run.json has all of them."""
    shown = lines(*[execution()] * 29, execution(pauses=[pause()] * 12))
    assert shown[0] == "          10 earlier executions: see runs/a/run.json"
    assert shown[1].startswith("history   ")
    assert shown[21] == "            2 earlier pauses"
    assert len(shown) == 1 + 20 + 1 + 10
