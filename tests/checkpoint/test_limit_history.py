"""The limit of each endpoint is kept, and with it that of all together."""

from pathlib import Path

from batchrun.checkpoint.limit_history import EndpointLimit
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store


def test_the_limit_of_a_run_is_the_sum_of_those_of_its_endpoints(tmp_path: Path) -> None:
    """0 for one that is closed."""
    with Store(tmp_path) as store:
        store.note_limit(1_000, 8, "start", "east")
        store.note_limit(1_000, 4, "start", "west")
        store.note_limit(2_000, 16, "ramp", "east")
        store.note_limit(3_000, 0, "closed", "west")
    with Checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.limits()) == [(1_000, 8), (1_000, 12), (2_000, 20), (3_000, 16)]
        assert checkpoint.limit() == 16
        assert checkpoint.last_limits() == {"east": 16, "west": 0}
        assert checkpoint.endpoint_limits() == [
            EndpointLimit("east", 1_000, 8),
            EndpointLimit("west", 1_000, 4),
            EndpointLimit("east", 2_000, 16),
            EndpointLimit("west", 3_000, 0),
        ]


def test_the_only_endpoint_has_one_history(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.note_limit(1_000, 8, "start")
        store.note_limit(2_000, 6, "rejected")
    with Checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.limits()) == [(1_000, 8), (2_000, 6)]
        assert (checkpoint.endpoint_limits(), checkpoint.last_limits()) == ([], {})
