"""Where each node has an endpoint of its own, each has its own limit and health, and rows go to those that answer."""

import asyncio

import pytest
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal, refusal

from batchrun.endpoint.pool.limits import Limit
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.endpoints import Endpoints
from batchrun.engine.endpoint_figures import endpoint_figures, pause_of
from batchrun.records import Attempted, Closed, Fault, Paused, Resumed

REFUSED = Fault("connection", "connection refused", 0.001, was_sent=False)


def server(slots: int = 20, *, away: tuple[float, float] = (0, 0), trouble: object = REFUSED) -> Endpoint:
    """Return a node's server, which is away for a while."""
    return Endpoint(
        lambda now_s: slots,
        lognormal(0.3),
        trouble=lambda now_s, body: trouble if away[0] <= now_s < away[1] else None,
    )


def rows_of(cluster: Cluster) -> list[int]:
    """Return the rows that have an outcome, and that no row has failed."""
    assert not any(outcome.kind for outcome in cluster.outcomes)
    return sorted(outcome.row for outcome in cluster.outcomes)


def test_each_node_has_a_limit_of_its_own() -> None:
    """A fast server answers more rows than a slow one, and neither is asked for more than it takes."""
    servers = [server(5), server(40), server(10)]
    cluster = Cluster(None, own=servers)
    assert cluster.run(4_000, workers=3) is None
    assert rows_of(cluster) == list(range(4_000))
    assert [each.peak for each in servers] == [5, 40, 10]
    assert sum(each.rejected for each in servers) < 0.02 * 4_000
    took = [each.accepted for each in servers]
    assert 6 < took[1] / took[0] < 10
    assert 1.5 < took[2] / took[0] < 2.5


def test_a_node_whose_server_is_away_leaves_its_rows_to_others_and_comes_back() -> None:
    """It is reported once, with the node; nothing is bought twice, and rows wait for nobody."""
    servers = [server(), server(away=(4, 30)), server()]
    cluster = Cluster(None, own=servers)
    seen = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(12)
        seen.append(sorted((each.name, each.state) for each in endpoint_figures(driver)))
        assert pause_of(driver) is None
        assert not any(each.rows for each in driver.workers if each.worker == 2)

    assert cluster.run(10_000, workers=3, meanwhile=look) is None
    assert rows_of(cluster) == list(range(10_000))
    assert 10_000 <= sum(each.accepted for each in servers) <= 10_001  # with the canary that found it back
    assert seen == [[("node0", "open"), ("node1", "away"), ("node2", "open")]]
    (paused,) = (event for event in cluster.events if isinstance(event, Paused))
    (resumed,) = (event for event in cluster.events if isinstance(event, Resumed))
    assert paused.node == resumed.node == "node1"
    assert servers[1].accepted > 2_000  # it was back for most of the run


@pytest.mark.parametrize("trouble", [REFUSED, refusal(404, "The model `m` does not exist", code="model_not_found")])
def test_a_node_without_a_server_costs_nothing(trouble) -> None:
    """There never was one, or it serves another model: the others answer all rows, and the run ends with them."""
    servers = [server(), server(away=(0, 1e9), trouble=trouble), server()]
    cluster = Cluster(None, own=servers)
    assert cluster.run(3_000, workers=3) is None
    assert rows_of(cluster) == list(range(3_000))
    assert servers[1].accepted == 0
    assert cluster.ended_s < 35  # 40 slots need 23 s
    assert sum(isinstance(event, Paused | Closed) for event in cluster.events) == 1


def test_a_model_that_no_node_has_stops_the_run() -> None:
    """With the reason that one process gives."""
    absent = refusal(404, "The model `m` does not exist", code="model_not_found")
    cluster = Cluster(None, own=[server(away=(0, 1e9), trouble=absent) for _ in range(3)])
    stop = cluster.run(1_000, workers=3)
    assert stop is not None
    assert stop.exit_code == 4
    assert "does not exist" in stop.message
    assert cluster.outcomes == []


def test_nodes_that_have_no_server_at_all_stop_the_run_after_a_minute() -> None:
    """As one process does."""
    cluster = Cluster(None, own=[server(away=(0, 1e9)) for _ in range(3)])
    stop = cluster.run(1_000, workers=3)
    assert stop is not None
    assert "nothing has answered yet" in stop.message
    assert 60 < cluster.ended_s < 90


def test_all_servers_may_be_away_at_once() -> None:
    """Then all rows wait, as they do for one endpoint."""
    servers = [server(away=(3, 20)), server(away=(3, 25))]
    cluster = Cluster(None, own=servers)
    assert cluster.run(3_000, workers=2) is None
    assert rows_of(cluster) == list(range(3_000))
    canaries = sum(event.attempts for event in cluster.events if isinstance(event, Attempted))
    assert 3_000 <= sum(each.accepted for each in servers) <= 3_000 + canaries


def test_a_row_that_takes_servers_down_fails_although_it_goes_from_node_to_node() -> None:
    """What is known about it goes with it."""
    down_until_s = [0.0, 0.0, 0.0]
    servers = []
    for number in range(3):

        def trouble(now_s: float, body: bytes, number: int = number) -> object:
            if now_s < down_until_s[number]:
                return REFUSED
            if body == b"row-700":
                down_until_s[number] = now_s + 5
                return Fault("connection", "connection reset", 0.2, was_sent=True)
            return None

        servers.append(Endpoint(lambda now_s: 20, lognormal(0.3), trouble=trouble))
    cluster = Cluster(None, own=servers)
    assert cluster.run(6_000, workers=3) is None
    assert {outcome.row for outcome in cluster.outcomes if outcome.kind} == {700}
    assert len(cluster.outcomes) == 6_000


def test_all_nodes_together_stay_below_the_ceiling() -> None:
    """Each server would take any number."""
    servers: list[Endpoint] = []
    peaks: list[int] = []

    def count(now_s: float, body: bytes) -> None:
        peaks.append(sum(each.sent for each in servers))

    servers += [Endpoint(lambda now_s: 1_000, lognormal(0.3), trouble=count) for _ in range(3)]
    cluster = Cluster(None, own=servers)
    cluster.run(5_000, workers=3, limit=lambda strides: Limit(60, strides=strides), ceiling=60)
    assert max(peaks) == 60
    assert rows_of(cluster) == list(range(5_000))


def test_a_node_that_dies_leaves_what_it_had_to_others() -> None:
    """Bought again is at most what was in flight there, and what it had not yet handed over."""
    servers = [server(), server(), server()]
    cluster = Cluster(None, own=servers)
    had = []

    async def kill(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(5)
        had.append(cluster.workers[1].in_flight + cluster.workers[1].unshipped)
        await cluster.workers[1].die()

    cluster.run(5_000, workers=3, meanwhile=kill)
    assert rows_of(cluster) == list(range(5_000))
    assert sum(each.accepted for each in servers) - 5_000 <= had[0]


def test_a_node_is_named_also_while_it_is_the_only_one() -> None:
    """Its outage begins before another node joins and ends after that: one name, or the end would not be of it."""
    cluster = Cluster(None, own=[server(away=(0, 30)), server()], later_s={1: 10})
    several = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        for _ in range(2):
            await asyncio.sleep(8)
            several.append(driver.endpoints.are_of_several_nodes)

    assert cluster.run(3_000, workers=2, meanwhile=look) is None
    assert rows_of(cluster) == list(range(3_000))
    outages = [event for event in cluster.events if isinstance(event, Paused | Resumed)]
    assert [(type(event), event.node) for event in outages] == [(Paused, "node0"), (Resumed, "node0")]
    assert several == [False, True]


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_only_model_of_a_run_needs_no_name_in_the_reason_to_stop(nodes: int) -> None:
    """As in one process: the other nodes are not other endpoints of the job."""
    cluster = Cluster(None, own=[server(away=(0, 1_000)) for _ in range(nodes)])
    stop = cluster.run(100, workers=nodes)
    assert stop is not None
    assert stop.message.startswith("nothing has answered yet at ")


def test_messages_name_a_node_once_several_may_have_workers() -> None:
    """Those of the others may still be starting."""

    async def main() -> list[bool]:
        now_s = asyncio.get_running_loop().time
        of = {"own": {"": lambda: None}, "nodes": lambda: 3}
        return [Endpoints({}, now_s, **each).are_of_several_nodes for each in (of, {**of, "nodes": lambda: 1}, {})]  # type: ignore[arg-type]

    assert asyncio.run(main()) == [True, False, False]
