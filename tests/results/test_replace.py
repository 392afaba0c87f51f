"""Files are replaced in one step."""

import errno
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from batchrun.errors import RunDirectoryError
from batchrun.results.replace import replacing, sweep


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """Until the block has succeeded a reader finds the old content, and nothing is left over."""
    path = tmp_path / "results.parquet"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.name == f".results.parquet.{os.getpid()}.tmp"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path, problem: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise problem


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("of its own"), OSError(errno.ENOSPC, "full")])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, problem: BaseException) -> None:
    """Half a file is removed, whatever stopped its writing."""
    path = tmp_path / "run.json"
    path.write_text("old")
    expected = RunDirectoryError if isinstance(problem, OSError) else type(problem)
    with pytest.raises(expected):
        write_half(path, problem)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("problem", "reason", "cure"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device", "free some space"),
        (OSError(errno.EDQUOT, "x"), "quota", "quota raised"),
        (PermissionError(errno.EACCES, "x"), "Permission denied", "make its folder writable"),
        (OSError(errno.EROFS, "x"), "Read-only file system", "make its folder writable"),
        (OSError(errno.EIO, "x"), "Input/output error", "see that its folder exists"),
        (OSError("odd"), "odd", "see that its folder exists"),
        (pa.ArrowInvalid("odd"), "odd", "see that its folder exists"),
    ],
)
def test_the_message_has_path_reason_and_cure(tmp_path: Path, problem: Exception, reason: str, cure: str) -> None:
    """The user learns what is wrong, where, what to do, and that nothing is lost."""
    path = tmp_path / "results.parquet"
    with pytest.raises(RunDirectoryError) as caught, replacing(path):
        raise problem
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert cure in message
    assert "the answers are safe in the checkpoint" in message
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is problem


def test_a_folder_that_is_none_is_the_run_directorys_fault(tmp_path: Path) -> None:
    """A path through a file ends with exit code 3."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunDirectoryError, match="Not a directory"), replacing(tmp_path / "runs" / "run.json") as path:
        path.write_text("new")


def test_what_a_dead_process_left_behind_is_swept(tmp_path: Path) -> None:
    """A killed export leaves no half file for ever; what a living one writes stays."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    dead, living = tmp_path / f".results.parquet.{process.pid}.tmp", tmp_path / f".results.parquet.{os.getpid()}.tmp"
    other = tmp_path / ".notes.tmp"
    for path in (dead, living, other):
        path.write_bytes(b"")
    sweep(tmp_path)
    assert not dead.exists()
    assert living.exists()
    assert other.exists()
