"""Files are replaced in one step."""

import errno
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from batchrun.errors import RunDirectoryError
from batchrun.results.replace import replacing, replacing_together, sweep


def test_a_new_file_replaces_the_old_one_when_the_block_ends(tmp_path: Path) -> None:
    """Readers find the old content until then, and no temporary file stays."""
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
def test_after_a_failure_only_the_old_file_exists(tmp_path: Path, problem: BaseException) -> None:
    """The incomplete file is removed after every kind of error."""
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
        (
            PermissionError(errno.EACCES, "x"),
            "Permission denied",
            "make its folder writable, or work on a copy of the run directory: cp -r {run} COPY;",
        ),
        (OSError(errno.EROFS, "x"), "Read-only file system", "make its folder writable"),
        (OSError(errno.EIO, "x"), "Input/output error", "see that its folder exists"),
        (OSError("odd"), "odd", "see that its folder exists"),
        (pa.ArrowInvalid("odd"), "odd", "see that its folder exists"),
    ],
)
def test_the_message_has_the_path_the_reason_and_the_cure(
    tmp_path: Path, problem: Exception, reason: str, cure: str
) -> None:
    """It also states that nothing is lost."""
    path = tmp_path / "results.parquet"
    with pytest.raises(RunDirectoryError) as caught, replacing(path):
        raise problem
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert cure.format(run=tmp_path) in message
    assert message.endswith(f"the answers are safe in the checkpoint; then: batchrun export {tmp_path}")
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is problem


def test_files_are_replaced_together_and_the_first_file_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All old files stay until the block ends. If a reader finds the first file new, the others are new too."""
    paths = [tmp_path / name for name in ("results.parquet", "usage.parquet", "run.json")]
    for path in paths:
        path.write_text("old")
    moved: list[str] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        moved.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    with replacing_together() as files:
        for path in paths:
            with files.writing(path) as temporary:
                temporary.write_text("new")
        assert [path.read_text() for path in paths] == ["old"] * 3
    assert [path.read_text() for path in paths] == ["new"] * 3
    assert moved == ["run.json", "usage.parquet", "results.parquet"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def write_together(*paths: Path, problem: Exception) -> None:
    with replacing_together() as files:
        for path in paths:
            with files.writing(path) as temporary:
                temporary.write_text("new")
        raise problem


def test_when_a_check_fails_no_file_is_replaced(tmp_path: Path) -> None:
    """The new files are removed."""
    old = tmp_path / "usage.parquet"
    old.write_text("old")
    with pytest.raises(ValueError, match="a row is missing"):
        write_together(tmp_path / "results.parquet", old, problem=ValueError("a row is missing"))
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_file_can_be_written_again_after_a_failed_attempt(tmp_path: Path) -> None:
    """The second attempt counts."""
    path = tmp_path / "results.parquet"
    with replacing_together() as files:
        with suppress(ValueError), files.writing(path) as temporary:
            temporary.write_text("first")
            raise ValueError
        assert not temporary.exists()
        with files.writing(path) as temporary:
            temporary.write_text("second")
    assert path.read_text() == "second"


def test_a_path_through_a_file_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    """Its exit code is 3."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunDirectoryError, match="Not a directory"), replacing(tmp_path / "runs" / "run.json") as path:
        path.write_text("new")


def test_temporary_files_and_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """Files of a process that is alive stay."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    dead, living = tmp_path / f".results.parquet.{process.pid}.tmp", tmp_path / f".results.parquet.{os.getpid()}.tmp"
    other = tmp_path / ".notes.tmp"
    for path in (dead, living, other):
        path.write_bytes(b"")
    folder = tmp_path / f".sound.{process.pid}.tmp"
    folder.mkdir()
    (folder / "results.parquet").write_bytes(b"")
    sweep(tmp_path)
    assert not dead.exists()
    assert not folder.exists()
    assert living.exists()
    assert other.exists()
