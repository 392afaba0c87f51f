"""The note of what is on its way: survives the process, and costs nothing when nothing has changed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.checkpoint.journal import FILE_NAME, Journal
from batchrun.errors import RunDirectoryError


def test_what_was_noted_last_is_read_back(tmp_path: Path) -> None:
    """A new directory owes nothing."""
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd) == (0, 0.0)
    journal.note(7, 0.25)
    journal.note(8)
    journal.note(9, 0.5)
    journal.force()
    journal.close()
    journal = Journal(tmp_path)
    assert (journal.owed, journal.usd) == (9, 0.5)
    journal.close()


def test_a_note_outlives_a_killed_process(tmp_path: Path) -> None:
    """Though nothing was forced to the disk."""
    program = (
        "import os, signal, sys; from pathlib import Path; from batchrun.checkpoint.journal import Journal; "
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
    journal.close()


def test_the_same_note_is_not_written_again(tmp_path: Path) -> None:
    """Nobody pays for it."""
    journal = Journal(tmp_path)
    journal.note(5)
    (tmp_path / FILE_NAME).write_bytes(b"")
    journal.note(5)
    assert (tmp_path / FILE_NAME).read_bytes() == b""
    journal.close()


def test_a_note_that_cannot_be_made_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    """A folder in its place, or a file that was taken away."""
    journal = Journal(tmp_path)
    os.close(journal._file)
    with pytest.raises(RunDirectoryError, match=r"\.in_flight: cannot be read or written"):
        journal.note(1)
    journal.close()
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(RunDirectoryError, match="make room, or make it writable"):
        Journal(tmp_path)
