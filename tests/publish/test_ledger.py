"""The ledger records what was published."""

from pathlib import Path

import pytest
from harness.descriptors import open_descriptors

from batchrun.errors import RunDirectoryError
from batchrun.publish.ledger import FILE_NAME, Ledger, alone


def test_the_ledger_keeps_what_was_sent(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.unsent(["a", "b"]) == {"a", "b"}
        ledger.add(["a"])
        ledger.add(["a", "c"])
        ledger.note("evaluation", {"is_done": False})
        ledger.note("evaluation", {"is_done": True})
    with Ledger(tmp_path) as ledger:
        assert ledger.unsent(["a", "b", "c"]) == {"b"}
        assert ledger.fact("evaluation") == {"is_done": True}
        assert ledger.fact("other") is None


def test_a_ledger_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but some text" * 100)
    before = open_descriptors()
    for _ in range(5):
        with (
            pytest.raises(RunDirectoryError, match=r"published.sqlite.*make it writable, or delete it"),
            Ledger(tmp_path),
        ):
            pass
    assert open_descriptors() == before


def test_one_process_at_a_time_publishes_to_a_system(tmp_path: Path) -> None:
    """The second process is refused with exit code 3; the next one succeeds."""
    with alone(tmp_path, "wandb"):
        with pytest.raises(
            RunDirectoryError, match="another process publishes it to wandb; publish again when that"
        ) as caught:
            alone(tmp_path, "wandb").__enter__()
        assert caught.value.exit_code == 3
        with alone(tmp_path, "weave"):
            pass
    with alone(tmp_path, "wandb"):
        pass


def test_a_second_follower_waits_for_the_first_while_the_run_lasts(tmp_path: Path) -> None:
    first = alone(tmp_path, "wandb")
    first.__enter__()
    waited: list[float] = []

    def is_over(wait_s: float) -> bool:
        waited.append(wait_s)
        if len(waited) == 3:
            first.__exit__(None, None, None)
        return False

    with alone(tmp_path, "wandb", is_over):
        assert len(waited) == 3


def test_a_lock_file_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".published-wandb.lock").mkdir()
    with pytest.raises(RunDirectoryError, match="make its folder writable"), alone(tmp_path, "wandb"):
        pass
