"""A thread forces to the disk what was committed."""

import threading
from pathlib import Path

import pytest

from batchrun.checkpoint import fsync
from batchrun.checkpoint.fsync import Forcing
from batchrun.checkpoint.in_flight import Journal


def refuse(handle: int) -> None:
    raise OSError(5, "Input/output error")


def test_a_disk_that_fails_is_reported_and_ends_the_forcing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: then the run stops."""
    problems: list[OSError] = []
    heard = threading.Event()
    journal = Journal(tmp_path)
    monkeypatch.setattr(fsync, "FORCE_EVERY_S", 0.001)
    monkeypatch.setattr("os.fsync", refuse)

    def tell(problem: OSError) -> None:
        problems.append(problem)
        heard.set()

    watched = Forcing(None, journal, tell)
    watched.start()
    assert heard.wait(10)
    watched.end()
    assert [problem.errno for problem in problems] == [5]
    journal.close()


def test_the_log_is_forced_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together with the note; a log that does not exist yet is not an error."""
    journal = Journal(tmp_path)
    forced: list[int] = []
    monkeypatch.setattr("os.fsync", forced.append)
    watched = Forcing(tmp_path / "log", journal, lambda problem: None)
    watched.force()
    assert len(forced) == 1
    (tmp_path / "log").write_bytes(b"frames")
    watched.force()
    assert len(forced) == 3
    watched.end()  # was never started
    journal.close()
