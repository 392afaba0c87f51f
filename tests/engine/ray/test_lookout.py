"""A head that is away holds up nobody, and is noticed."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from batchrun.engine.ray import lookout
from batchrun.engine.ray.lookout import Lookout


class Ray:
    """What is asked of Ray. A head that is away lets everybody wait."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.is_there.set()
        self.known = [{"Alive": True, "NodeID": "ours"}, {"Alive": False, "NodeID": "dead"}]

    def nodes(self) -> list[dict[str, Any]]:
        self.is_there.wait()
        return self.known

    def available_resources(self) -> dict[str, float]:
        return {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "ours")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_EVERY_S", 0.01)
    monkeypatch.setattr(lookout, "_AWAY_AFTER_S", 0.3)


def test_a_head_that_is_away_holds_up_nobody_and_is_noticed_until_it_is_back() -> None:
    """What was seen last counts meanwhile."""
    ray = Ray()
    seeing = Lookout(ray)
    with seeing.looking():
        assert (len(seeing.seen.nodes), seeing.seen.all_cpus, seeing.trouble) == (1, 4.0, "")
        ray.is_there.clear()
        try:
            wait_until(lambda: seeing.trouble == "its head does not answer")
            assert len(seeing.seen.nodes) == 1
        finally:
            ray.is_there.set()
        wait_until(lambda: seeing.trouble == "")


def test_workers_cannot_be_started_when_the_node_of_this_process_has_left_the_cluster() -> None:
    """Ray ends them then, and starts no others for this process."""
    ray = Ray()
    seeing = Lookout(ray)
    with seeing.looking():
        ray.known = [{"Alive": False, "NodeID": "ours"}, {"Alive": True, "NodeID": "another"}]
        wait_until(lambda: seeing.trouble == "the node of this machine has left it")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)
