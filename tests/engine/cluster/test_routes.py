"""What is known of the endpoints by workers' words."""

from types import SimpleNamespace
from typing import Any, cast

from batchrun.engine.cluster.routes import SharedRoute, closed_by, joined
from batchrun.records import Stop

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


def away(*, for_s: float, probe_in_s: float) -> Any:
    """Return a worker's word on an endpoint that does not answer it."""
    return SimpleNamespace(
        is_heard=True, answered=(), closed={}, trouble="no route to host", away_s=for_s, probe_in_s=probe_in_s
    )
