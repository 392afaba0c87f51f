"""What happened to a run, for a table and for the plots."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchrun.report.clock import Clock, Gap
from batchrun.report.events import bands_of, events_of, gaps_of, lines_of

START_MS = 1_795_900_000_000
MINUTE_MS = 60_000


def when(minute: float | None) -> str | None:
    """Return a minute of the run as run.json has it."""
    return None if minute is None else datetime.fromtimestamp(START_MS / 1000 + 60 * minute, UTC).isoformat()


def pause(start: float, end: float | None, model: str = "m", message: str = "overloaded") -> dict[str, Any]:
    """Return a pause as run.json has it."""
    return {"model": model, "kind": "http_503", "message": message, "started_at": when(start), "ended_at": when(end)}


def execution(start: float, end: float, *pauses: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an execution as run.json has it."""
    times = {"started_at": when(start), "ended_at": when(end), "until": when(end)}
    own = {
        "state": "completed",
        "ended_by": "done",
        "message": "",
        "rows": None,
        "attempts": 10,
        "cost_usd": None,
        "pauses": list(pauses),
        "endpoint_pauses": [],
    }
    return {"least_cost_usd": changes.get("cost_usd"), **times, **own, **changes}


def clock_of(minutes: float, *gaps: Gap) -> Clock:
    """Return a clock from the start of the run."""
    return Clock(START_MS, START_MS + minutes * MINUTE_MS, gaps, zone=UTC)


NIGHT = [
    execution(0, 60, pause(20, 32), state="died", ended_by="killed", ended_at=None, rows=1200),
    execution(90, 120, pause(100, 101), state="stopped", ended_by="deadline", message="stop_at 07:30 has come"),
    execution(120.5, 121),
]


def test_executions_pauses_and_gaps_come_in_order_with_their_times() -> None:
    """A process that died was seen for the last time when its running time was over."""
    lines = lines_of(events_of(NIGHT), clock_of(121))
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    assert [(line.number, line.what, line.lasted) for line in lines] == [
        (1, "execution 1", "1 h 00 min"),
        (2, "paused", "12 min 00 s"),
        (3, "no process", "30 min 00 s"),
        (4, "execution 2", "30 min 00 s"),
        (5, "paused", "1 min 00 s"),
        (6, "no process", "30.0 s"),
        (7, "execution 3", "30.0 s"),
    ]
    assert lines[0].start == f"{start:%Y-%m-%d %H:%M:%S}"
    assert lines[2].start == lines[0].end
    assert [lines[1].why, lines[3].why] == ["http_503: overloaded", "the deadline: stop_at 07:30 has come"]
    assert (lines[0].why, lines[0].rows, lines[3].rows) == ("killed", "1,200", "")


def test_what_lasts_has_no_end() -> None:
    """Neither has a pause that a running execution is in."""
    running = execution(0, 5, pause(3, None), state="running", ended_by="", ended_at=None)
    assert [line.end for line in lines_of(events_of([running]), clock_of(5))] == ["", ""]
    dead = execution(0, 5, pause(3, None), state="died", ended_by="killed", ended_at=None)
    assert all(line.end for line in lines_of(events_of([dead]), clock_of(5)))


def test_pauses_of_models_at_the_same_time_are_one() -> None:
    """It names the models, if the run has several."""
    entry = execution(0, 60, pause(10, 20, "a"), pause(15, 25, "b"), pause(40, 41, "b"))
    events = events_of([entry], is_of_several=True)
    paused = [each for each in events if each.look == "pause"]
    assert [(each.end_ms - each.start_ms) / MINUTE_MS for each in paused] == [15, 1]
    assert [each.why for each in paused] == ["a, b: http_503: overloaded", "b: http_503: overloaded"]


def test_endpoints_that_were_away_or_closed_are_events_of_their_own() -> None:
    """Their bands are in the plots of that endpoint; those of the run have all outages, which slow it down."""
    away = [{**pause(*times), "endpoint": name} for times, name in (((10, 30), "east"), ((25, 40), "west"))]
    closed = {**pause(50, 60, message="the key is refused"), "endpoint": "east", "kind": "closed"}
    events = events_of([execution(0, 60, pause(25, 30), endpoint_pauses=[*away, closed])])
    assert [(each.what, each.why) for each in events] == [
        ("execution 1", "done"),
        ("east away", "http_503: overloaded"),
        ("paused", "http_503: overloaded"),
        ("west away", "http_503: overloaded"),
        ("east closed", "the key is refused"),
    ]
    shown = {name: [band.label for band in bands_of(events, clock_of(60), name)] for name in ("", "east", "west")}
    assert shown == {
        "": ["2: east away 20 min 00 s", "3: paused 5 min 00 s", "4: west away 15 min 00 s"],
        "east": ["2: east away 20 min 00 s", "5: east closed 10 min 00 s"],
        "west": ["4: west away 15 min 00 s"],
    }


def test_gaps_lie_between_executions() -> None:
    assert gaps_of(NIGHT) == [
        Gap(START_MS + 60 * MINUTE_MS, START_MS + 90 * MINUTE_MS),
        Gap(START_MS + 120 * MINUTE_MS, START_MS + 120.5 * MINUTE_MS),
    ]


def test_bands_have_the_places_of_their_events() -> None:
    """Their labels have the number in the table, and what is shown next to the pointer also the reason."""
    clock = clock_of(121, *gaps_of(NIGHT))
    bands = bands_of(events_of(NIGHT), clock)
    assert [(band.look, band.short) for band in bands] == [("pause", "2"), ("gap", "3"), ("pause", "5"), ("gap", "6")]
    assert bands[0].label == "2: paused 12 min 00 s"
    assert bands[0].title == "2: paused 12 min 00 s: http_503: overloaded"
    assert (bands[0].low, bands[0].high) == pytest.approx((20 * 60, 32 * 60))
    assert bands[1].high - bands[1].low == pytest.approx(0.08 * 90.5 * 60), "a long gap is shortened"


def test_the_band_of_a_gap_begins_where_the_answers_end() -> None:
    """A process that died has answered after it was seen for the last time."""
    [gap] = gaps_of(NIGHT[:2])
    clock = clock_of(120, gap._replace(start_ms=gap.start_ms + MINUTE_MS))
    [_, band, _] = bands_of(events_of(NIGHT[:2]), clock)
    assert band.low == pytest.approx(61 * 60)
    assert band.label == "3: no process 30 min 00 s"


def test_events_outside_the_axis_have_no_band() -> None:
    """Such as a pause after the last answer."""
    assert [band.short for band in bands_of(events_of(NIGHT), clock_of(40))] == ["2"]


def test_of_very_many_events_the_latest_are_shown() -> None:
    """Their numbers say how many there were before."""
    lines = lines_of(events_of([execution(2 * number, 2 * number + 1) for number in range(300)]), clock_of(600))
    assert len(lines) == 200
    assert (lines[0].number, lines[-1].number) == (400, 599)


@pytest.mark.parametrize(
    ("ended_by", "message", "why"),
    [
        (
            "SIGTERM",
            "SIGTERM: nothing was in flight; run the same command again to resume",
            "SIGTERM: nothing was in flight",
        ),
        (
            "deadline",
            "max_duration 4s is over; run the same command again to resume",
            "the deadline: max_duration 4s is over",
        ),
        (
            "cluster_lost",
            "the Ray cluster is lost: its head does not answer",
            "the Ray cluster is lost: its head does not answer",
        ),
        ("done", "", "done"),
    ],
)
def test_an_ending_names_its_reason_once_and_without_advice(ended_by: str, message: str, why: str) -> None:
    """The advice was for the end of that execution."""
    (event,) = events_of([execution(0, 5, ended_by=ended_by, message=message)])
    assert event.why == why


def test_an_execution_in_which_nothing_was_answered_has_no_cost() -> None:
    """It may have sent requests at a price that is not known."""
    lines = lines_of(
        events_of([execution(0, 1, rows=0, cost_usd=0.0), execution(2, 3, rows=5, cost_usd=0.5)]), clock_of(3)
    )
    assert [line.cost for line in lines if line.look == "execution"] == ["", "0.5000 USD"]
