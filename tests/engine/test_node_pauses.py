"""One node whose own server is away lets no rows wait; the run is paused while all of them are away."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal

from batchrun.checkpoint.history import PauseTimes
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.node_pauses import end_pauses, note_node
from batchrun.records import Closed, Event, Fault, Paused, Resumed

REFUSED = Fault("connection", "connection refused", 0.001, was_sent=False)


def pauses_of(
    directory: Path, *away: tuple[float, float], later_s: Mapping[int, float] | None = None
) -> tuple[PauseTimes, ...]:
    """Return the recorded pauses of a run on as many nodes, whose servers are away in these times.

    Args:
        directory: of the run.
        away: when the server of each node is.
        later_s: how much later some of the nodes join.
    """

    def server(start_s: float, end_s: float) -> Endpoint:
        return Endpoint(
            lambda now_s: 20, lognormal(0.3), trouble=lambda now_s, body: REFUSED if start_s <= now_s < end_s else None
        )

    cluster = Cluster(None, own=[server(*each) for each in away], later_s=later_s or {})
    with Store(directory) as store:
        store.history.reachable.serving = lambda model: [""]
        store.history.begin_execution(0)

        def note(event: Event, driver: Driver) -> None:
            if isinstance(event, Paused | Resumed | Closed):
                assert event.node
                note_node(event, driver, store.history, round(1_000 * asyncio.get_running_loop().time()))

        async def look(cluster: Cluster, driver: Driver) -> None:
            while True:
                await asyncio.sleep(1)
                end_pauses(driver, store.history, round(1_000 * asyncio.get_running_loop().time()))

        cluster.on_event = note
        assert cluster.run(5_000, workers=len(away), meanwhile=look) is None
        assert sum(isinstance(event, Paused) for event in cluster.events) == sum(start < end for start, end in away)
        store.history.end_execution(1_000_000, "completed")
    with Checkpoint(directory) as checkpoint:
        (execution,) = checkpoint.executions(is_running=False)
    assert execution.endpoint_pauses == ()
    return execution.pauses


def test_one_node_that_is_away_pauses_nothing(tmp_path: Path) -> None:
    """Its rows are answered by the others meanwhile."""
    assert pauses_of(tmp_path, (4, 20), (0, 0), (0, 0)) == ()


def test_nodes_that_are_away_one_after_the_other_are_none_either(tmp_path: Path) -> None:
    """There is always one that answers."""
    assert pauses_of(tmp_path, (4, 14), (40, 50)) == ()


def test_a_run_is_paused_from_when_the_last_node_goes_until_the_first_is_back(tmp_path: Path) -> None:
    """By the reason of the last one."""
    (pause,) = pauses_of(tmp_path, (4, 40), (12, 70))
    assert (pause.model, pause.kind, pause.endpoint) == ("m", "connection", "")
    assert pause.ended_at_ms is not None
    assert 12_000 < pause.started_at_ms < 16_000
    assert 40_000 < pause.ended_at_ms < 50_000


def test_a_pause_ends_when_another_node_joins_and_answers(tmp_path: Path) -> None:
    """The first node's server comes much later; it does not report that rows wait no longer."""
    (pause,) = pauses_of(tmp_path, (0, 60), (0, 0), later_s={1: 20})
    assert pause.ended_at_ms is not None
    assert pause.started_at_ms < 4_000
    assert 20_000 < pause.ended_at_ms < 24_000
