"""When a model is reported as away, and as back."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from harness.clock import run_virtually
from harness.endpoints import Endpoint
from harness.runs import requests
from harness.stage import Stage

from batchrun.endpoint.pool.absence import Absence
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.records import Event, Fault, Paused, Resumed, Stop

HANGS = Fault("connection", "no connection in time", 10.0, was_sent=False)


def _lane(model: str = "m") -> Lane:
    return Lane(SharedQueue(model, 5), lambda model, is_bare: requests(1)[0], None)  # type: ignore[arg-type]


def _absence(*lanes: Lane) -> tuple[Absence, list[Event]]:
    events: list[Event] = []
    return Absence(cast("Any", SimpleNamespace(lanes=lanes)), events.append), events


def test_a_pause_is_reported_once_when_it_lasts_and_so_is_its_end() -> None:
    """Both reports, and what is shown meanwhile, count from the same moment."""
    lane = _lane()
    absence, events = _absence(lane)
    lane.health.doubt("overloaded", "too much to do", 100.0)
    absence.look(101.9, is_heard=True)
    assert (events, absence.reason, absence.since_s) == ([], None, None)
    for now_s in (102.0, 103.0):
        absence.look(now_s, is_heard=True)
    assert (absence.reason, absence.since_s) == ("overloaded: too much to do", 100.0)
    pause = lane.health.pause
    assert pause is not None
    lane.health.pause = None
    assert absence.reason is None
    absence.ends(lane, pause, 110.0)
    absence.ends(lane, pause, 110.0)
    assert events == [Paused("m", "overloaded", "too much to do", 2.0), Resumed("m", 10.0)]


def test_while_the_endpoint_has_never_replied_a_pause_is_reported_at_once() -> None:
    lane = _lane()
    absence, events = _absence(lane)
    lane.health.doubt("connection", "refused", 100.0)
    absence.look(100.1, is_heard=False)
    assert [type(event) for event in events] == [Paused]


def test_a_pause_that_only_asks_whose_a_refusal_is_is_not_reported() -> None:
    """A canary shows it soon."""
    lane = _lane()
    absence, events = _absence(lane)
    lane.health.doubt("bad_request", "no", 100.0, asks=True)
    absence.look(200.0, is_heard=True)
    assert events == []


def test_of_several_models_those_are_named_that_are_away() -> None:
    lanes = [_lane(model) for model in "abc"]
    absence, _ = _absence(*lanes)
    for lane, since_s in zip(lanes, (7.0, 5.0), strict=False):
        lane.health.doubt("overloaded", "too much to do", since_s)
    absence.look(20.0, is_heard=True)
    assert (absence.reason, absence.since_s) == ("a, b: overloaded: too much to do", 5.0)


@pytest.mark.parametrize("is_heard", [True, False])
def test_patience_ends_while_a_probe_is_under_way(is_heard: bool) -> None:
    """A probe may take long to fail, and so may the requests that show a silence: both are part of the patience."""
    endpoint = Endpoint(lambda now_s: 20, trouble=lambda now_s, body: HANGS if now_s >= 5.0 * is_heard else None)
    policy = {"patience_s": 14.0, "unheard_s": 4.0}
    stage = Stage(endpoint, 10_000, policy=policy)
    stops: list[tuple[Stop | None, float]] = []

    async def look() -> None:
        while True:
            await asyncio.sleep(0.25)
            stage.pool.look()

    async def main() -> None:
        looking = asyncio.create_task(look())
        stops.append((await stage.pool.run(stage.batches()), asyncio.get_running_loop().time()))
        looking.cancel()

    run_virtually(main())
    ((stop, ended_s),) = stops
    assert stop is not None
    if is_heard:
        (paused,) = [event for event in stage.events if isinstance(event, Paused)]
        assert paused.for_s >= 2.0
        assert ended_s < 5.0 + 14.0 + 10.0  # the silence began with the last answer; a probe is still under way
    else:
        assert stop.message.startswith("nothing has answered yet at ")
        assert ended_s == pytest.approx(10.0, abs=0.6)  # which showed that it had been silent for longer than that
