"""The note of what is in flight survives the process, and costs nothing when nothing has changed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, requests
from harness.descriptors import open_descriptors

from batchrun.checkpoint.in_flight import FILE_NAME, Journal, in_flight
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.errors import RunDirectoryError


def test_what_was_noted_last_is_read_back(tmp_path: Path) -> None:
    """A new directory owes nothing."""
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd) == (0, 0.0)
    journal.note(7, 0.25)
    journal.note(8)
    journal.note(9, 0.5, 700)
    journal.force()
    journal.close()
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd, journal.tokens) == (9, 0.5, 700)
    journal.close()


def test_a_note_outlives_a_killed_process(tmp_path: Path) -> None:
    """Though nothing was forced to the disk."""
    program = (
        "import os, signal, sys; from pathlib import Path; from batchrun.checkpoint.in_flight import Journal; "
        "Journal(Path(sys.argv[1])).note(3, 1.5); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd) == (3, 1.5)
    journal.close()


def test_half_a_note_owes_nothing(tmp_path: Path) -> None:
    """It was cut off as it was made: then nothing was sent."""
    (tmp_path / FILE_NAME).write_bytes(b"\x01\x02")
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd) == (0, 0.0)
    journal.note(1)
    journal.close()
    assert Journal(tmp_path).owed == 1


def test_the_page_is_not_a_hole_in_the_file(tmp_path: Path) -> None:
    """Where the disk is full when a hole is filled, the system kills the process."""
    Journal(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_blocks > 0


def test_a_note_that_cannot_be_made_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    """A folder in its place."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(RunDirectoryError, match=r"\.in_flight: cannot be read or written .*make room, or make it"):
        Journal(tmp_path)


def test_a_note_that_cannot_be_made_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    before = open_descriptors()
    monkeypatch.setattr("mmap.mmap", refuse)
    for _ in range(5):
        with pytest.raises(RunDirectoryError, match="Cannot allocate memory"):
            Journal(tmp_path)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("owed", "outcomes", "copies", "expected"),
    [(0, 0, 0, 0), (25, 5, 0, 20), (25, 100, 95, 20), (5, 100, 95, 0), (0, 7, 0, 0)],
)
def test_copies_are_not_taken_for_requests_that_were_sent(owed: int, outcomes: int, copies: int, expected: int) -> None:
    """A note that is older than the checkpoint, as after a power cut, never gives less than none."""
    assert in_flight(owed, outcomes, copies) == expected


def test_another_process_sees_what_is_in_flight_also_with_copies(tmp_path: Path) -> None:
    """`watch` and W&B ask; each row that was copied would hide a request."""
    with Store(tmp_path) as store:
        store.share_answers(is_wanted=True)
        assert len(store.unsettled(requests(*"aaaaaaaabc"))) == 3
        store.put(answer(*requests("a")))
        store.sending(2)
        store._writer.finish()
        with Checkpoint(tmp_path) as checkpoint:
            assert checkpoint.totals()["m"].requests == 8
            assert checkpoint.in_flight() == 2


def test_broken_rows_do_not_hide_what_is_in_flight(tmp_path: Path) -> None:
    """They get an outcome and were never sent."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.sending(3, 0.5, 70)
        for each in requests(*"abcde"):
            store.put(failure(each, "bad_row")._replace(attempts=0))
        store._writer.finish()
        with Checkpoint(tmp_path) as checkpoint:
            assert checkpoint.in_flight() == 3
    with Store(tmp_path) as store:
        assert (store.unrecorded, store.spent_usd, store.spent_tokens) == (3, 0.5, 70)
