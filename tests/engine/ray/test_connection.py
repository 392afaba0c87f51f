"""How many workers a cluster has room for, by what Ray says of its nodes."""

from types import SimpleNamespace
from typing import Any

import pytest

from batchrun.engine.ray.connection import Connection
from batchrun.engine.ray.team import RayTeam
from batchrun.job.engine import Engine


def cluster(*nodes: tuple[bool, dict[str, float]]) -> Connection:
    """Return the connection to a cluster of these nodes: whether each is alive, and what it has."""
    known = [{"Alive": is_alive, "Resources": resources} for is_alive, resources in nodes]
    return Connection(SimpleNamespace(nodes=lambda: known))


HEAD: tuple[bool, dict[str, float]] = True, {"memory": 1e9}
"""Ray leaves out what a node has nothing of."""

NODE, DEAD = (True, {"CPU": 4.0}), (False, {"CPU": 4.0})


@pytest.mark.parametrize(
    ("connection", "workers"),
    [
        pytest.param(cluster(HEAD, NODE, NODE), 2, id="a head without processors has none: it would never start"),
        pytest.param(cluster(HEAD, NODE, DEAD), 1, id="nor has a dead node"),
        pytest.param(cluster(NODE), 1, id="one machine"),
        pytest.param(cluster(HEAD), 1, id="one is waited for where no node has room yet"),
    ],
)
def test_each_node_with_room_has_a_worker(connection: Connection, workers: int) -> None:
    """Where the job does not say how many there should be."""
    assert team(connection).workers == workers


def test_a_node_with_fewer_processors_than_a_worker_needs_has_none() -> None:
    """Fractions count."""
    connection = cluster((True, {"CPU": 0.5}), (True, {"CPU": 2.0}))
    assert [team(connection, cpus_per_worker=cpus).workers for cpus in (0.5, 1, 2)] == [2, 1, 1]


def test_a_worker_that_needs_no_processor_is_on_every_node() -> None:
    """Also on the head."""
    assert team(cluster(HEAD, NODE), cpus_per_worker=0).workers == 2


def test_the_job_may_say_how_many_workers_there_are() -> None:
    """Several on a node, for example."""
    assert team(cluster(NODE), workers=8).workers == 8


def team(connection: Connection, **settings: Any) -> RayTeam:
    """Return the workers of a job with these settings of `[engine]`."""
    made = RayTeam(SimpleNamespace(engine=Engine(kind="ray", **settings)))  # type: ignore[arg-type]  # all that it reads
    made._connection = connection
    return made
