"""A run whose cluster is gone stops in time, and only then."""

from collections.abc import Callable

import pytest
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal

from batchrun.engine.cluster.silence import LOST_AFTER_S, ClusterLost, Silence


class Trial:
    """A clock, and what is wrong with the cluster."""

    def __init__(self) -> None:
        self.now_s, self.trouble = 1_000.0, ""
        self.silence = Silence(lambda: self.now_s, lambda: self.trouble)

    def lasts_s(self, heard_s: Callable[[float], list[float]]) -> float:
        """Return after how long the run stops; at most an hour."""
        began_s = self.now_s
        while self.now_s < began_s + 3_600:
            try:
                self.silence.check(heard_s(self.now_s))
            except ClusterLost:
                break
            self.now_s += 2
        return self.now_s - began_s


def test_a_run_without_workers_waits_for_a_cluster_that_can_start_some() -> None:
    """Such as one that is full."""
    assert Trial().lasts_s(lambda now_s: []) == 3_600


def test_a_run_whose_workers_answer_needs_no_head() -> None:
    """They answer without it."""
    trial = Trial()
    trial.trouble = "its head does not answer"
    assert trial.lasts_s(lambda now_s: [now_s - 1, 0.0]) == 3_600


@pytest.mark.parametrize("heard_s", [pytest.param([], id="no workers"), pytest.param([900.0], id="a silent one")])
def test_a_run_stops_when_nobody_is_heard_and_nobody_can_be_started(heard_s: list[float]) -> None:
    """The time counts from when the trouble is seen."""
    trial = Trial()
    trial.now_s += 600
    trial.silence.check(heard_s)
    trial.trouble = "its head does not answer"
    assert LOST_AFTER_S < trial.lasts_s(lambda now_s: heard_s) <= LOST_AFTER_S + 4
    with pytest.raises(
        ClusterLost, match="lost: its head does not answer, and no worker has been heard for 2 min"
    ) as lost:
        trial.silence.check(heard_s)
    assert lost.value.stop.exit_code == 5


def test_the_driver_stops_without_waiting_for_workers_that_nobody_reaches() -> None:
    """They have rows, which stay open."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)))

    def workers() -> int:
        if len(cluster.outcomes) > 100:
            raise ClusterLost("nobody answers")
        return 4

    stop = cluster.run(4_000, workers=workers)
    assert stop is not None
    assert (stop.message, stop.exit_code) == ("nobody answers", 5)
    assert 100 < len(cluster.outcomes) < 4_000
