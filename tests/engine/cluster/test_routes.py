"""What is known of the endpoints by workers' words."""

from types import SimpleNamespace
from typing import Any, cast

from batchrun.engine.cluster.routes import closed_by, joined
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
