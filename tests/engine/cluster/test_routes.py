"""What is known of the endpoints by workers' words."""

from types import SimpleNamespace
from typing import Any, cast

from batchrun.engine.cluster.keeper import Allowance
from batchrun.engine.cluster.messages import RouteWord
from batchrun.engine.cluster.routes import SharedRoute, closed_by, joined
from batchrun.records import LaneState, Stop

KEY = Stop(kind="unauthorized", message="the key is wrong", exit_code=4)
QUOTA = Stop(kind="quota", message="no quota is left", exit_code=5)


def words(**closed: dict[str, Stop]) -> Any:
    """Return a worker's word on endpoints: what is closed there."""
    return {name: cast("Any", SimpleNamespace(closed=stops)) for name, stops in closed.items()}


def test_a_model_that_is_closed_at_all_endpoints_has_the_reasons_of_all() -> None:
    """Whatever their order: a refusal counts more than an outage, as in one process."""
    message = "m at two: the key is wrong; and m at one: no quota is left"
    for routes in (words(one={"m": QUOTA}, two={"m": KEY}), words(two={"m": KEY}, one={"m": QUOTA})):
        assert closed_by(routes, lambda model: True) == {"m": Stop(kind="unauthorized", message=message, exit_code=4)}


def test_a_model_that_other_nodes_answer_is_not_closed() -> None:
    """Only this node has given it up."""
    assert closed_by(words(one={"m": KEY, "n": QUOTA}), lambda model: model == "n") == {"n": QUOTA}


def test_a_reason_that_models_share_is_given_once() -> None:
    """Its text is for people."""
    assert joined([KEY, QUOTA, KEY]) == Stop(
        kind="unauthorized", message="the key is wrong; and no quota is left", exit_code=4
    )


def test_an_outage_began_and_is_probed_at_times_that_do_not_move_with_the_age_of_a_word() -> None:
    """A worker says how long ago and in how many seconds: that counts from when its word came."""
    now_s = 100.0
    route = SharedRoute("", cast("Any", None), lambda: now_s)
    route.hear(0, away(for_s=10.0, probe_in_s=30.0))
    now_s = 105.0
    route.hear(1, away(for_s=5.0, probe_in_s=60.0))
    now_s = 120.0
    assert (route.since_s, route.probe_s) == (90.0, 130.0)


def test_a_probe_that_is_overdue_is_not_the_next_one() -> None:
    """It is under way, or its worker has no slot for it. The bar showed "next probe in 0 s" for as long."""
    now_s = 100.0
    route = SharedRoute("", cast("Any", None), lambda: now_s)
    route.hear(0, away(for_s=10.0, probe_in_s=1.0))
    route.hear(1, away(for_s=10.0, probe_in_s=30.0))
    now_s = 102.0
    assert route.probe_s == 130.0
    now_s = 131.0
    assert route.probe_s is None


def test_workers_without_a_slot_do_not_hide_an_outage() -> None:
    """They send nothing, so they see no trouble. Where there are fewer slots than workers, no pause was shown."""
    route = SharedRoute("", cast("Any", None), lambda: 100.0)
    lane = LaneState("m", is_closed=False, is_paused=False)
    idle = away(for_s=0.0, probe_in_s=0.0)._replace(trouble=None, away_s=None, is_away=False, lanes=[lane])
    route.hear(0, away(for_s=10.0, probe_in_s=30.0))
    route.hear(1, idle)
    assert (route.trouble, route.since_s, route.is_away) == (None, None, False)
    route.hear(1, idle._replace(allowance=Allowance(0, 0, wants_more=True)))
    assert (route.trouble, route.since_s, route.is_away) == ("no route to host", 90.0, True)
    assert route.lanes == [lane._replace(is_paused=True)]
    route.hear(0, away(for_s=10.0, probe_in_s=30.0)._replace(allowance=Allowance(0, 0, wants_more=True)))
    assert route.trouble is None  # nobody can send, so all are asked


def away(*, for_s: float, probe_in_s: float) -> RouteWord:
    """Return a worker's word on an endpoint that does not answer it."""
    return RouteWord(
        allowance=Allowance(1, 0, wants_more=True),
        news=(),
        throttled=0,
        trouble="no route to host",
        is_heard=True,
        is_away=True,
        away_s=for_s,
        probe_in_s=probe_in_s,
        lanes=[LaneState("m", is_closed=False, is_paused=True)],
        answered=(),
        closed={},
    )
