"""What is remembered of the limits: where each node has an endpoint of its own, the best of them."""

from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal, refusal

from batchrun.engine.links import held_by


def test_the_limit_that_is_remembered_is_the_best_of_several_nodes() -> None:
    """Not that of the first node, which here takes few requests, nor the sum: the next run may have other nodes."""
    servers = [Endpoint(lambda now_s, slots=slots: slots, lognormal(0.3)) for slots in (5, 40, 10)]
    cluster = Cluster(None, own=servers)
    assert cluster.run(4_000, workers=3) is None
    assert 36 <= held_by(cluster.driver)[""] <= 40


def test_a_first_node_without_a_server_is_not_what_is_remembered() -> None:
    """The next run would start with one request."""
    absent = refusal(404, "The model `m` does not exist", code="model_not_found")
    servers = [
        Endpoint(lambda now_s: 20, lognormal(0.3), trouble=lambda now_s, body: absent),
        Endpoint(lambda now_s: 20, lognormal(0.3)),
    ]
    cluster = Cluster(None, own=servers)
    assert cluster.run(3_000, workers=2) is None
    assert 18 <= held_by(cluster.driver)[""] <= 20
