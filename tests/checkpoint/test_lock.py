"""One run at a time in a directory."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.checkpoint.lock import DirectoryLock
from batchrun.errors import RunDirectoryError

_HOLD = """
import sys
from pathlib import Path
from batchrun.checkpoint.lock import DirectoryLock
with DirectoryLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the directory until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with process:
        yield process
        process.kill()


def test_a_directory_in_use_is_refused_with_the_holders_pid(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    """Two writers would buy every answer twice. When the other is gone, however it went, the directory is free."""
    with pytest.raises(RunDirectoryError, match=rf"in use by another run \(process {holder.pid}\); wait"):
        DirectoryLock(tmp_path / "run").__enter__()
    holder.kill()
    holder.wait()
    with DirectoryLock(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock.pid").read_text() == str(os.getpid())


def test_the_number_of_a_run_before_is_not_taken_for_the_holders(
    tmp_path: Path, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written just after the lock is taken: until then that of the last run stands there."""
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    note = tmp_path / "run" / ".lock.pid"
    note.write_text(str(dead.pid))
    monkeypatch.setattr("time.sleep", lambda _: note.write_text(str(holder.pid)))
    with pytest.raises(RunDirectoryError, match=rf"in use by another run \(process {holder.pid}\)"):
        DirectoryLock(tmp_path / "run").__enter__()
    note.write_text(str(dead.pid))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(RunDirectoryError, match="in use by another run; wait"):
        DirectoryLock(tmp_path / "run").__enter__()


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.EROFS, "make it writable"),
        (errno.EACCES, "make it writable"),
        (errno.ENOSPC, "free some space, and run the same command again"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "use another -o DIR"),
    ],
)
def test_the_cure_fits_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cure: str) -> None:
    """Another folder would have every answer of this one bought again."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(RunDirectoryError, match=cure):
        DirectoryLock(tmp_path).__enter__()
    monkeypatch.undo()
    with DirectoryLock(tmp_path):
        pass


def test_a_directory_can_be_taken_again_and_again(tmp_path: Path) -> None:
    """Also after an error inside."""
    with pytest.raises(KeyError), DirectoryLock(tmp_path):
        raise KeyError
    with DirectoryLock(tmp_path):
        pass


def test_nothing_is_left_when_the_lock_is_released(tmp_path: Path) -> None:
    """A directory that is in use keeps its files."""
    with DirectoryLock(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", ".lock.pid"}
        with pytest.raises(RunDirectoryError, match="in use by another run"):
            DirectoryLock(tmp_path).__enter__()
        assert {path.name for path in tmp_path.iterdir()} == {".lock", ".lock.pid"}
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file has no name any more: the next process would make another one and lock that."""
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.__enter__()
    flock = fcntl.flock

    def flock_later(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first.__exit__(None, None, None)  # after the second one has opened the file, before it locks it
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock_later)
    with second:
        assert (tmp_path / ".lock").exists()
        with pytest.raises(RunDirectoryError, match="in use by another run"):
            DirectoryLock(tmp_path).__enter__()


def test_a_directory_that_was_replaced_keeps_the_lock_of_its_new_run(tmp_path: Path) -> None:
    """The run in the moved directory ends after another one has begun in its old place."""
    moved = DirectoryLock(tmp_path / "run")
    moved.__enter__()
    (tmp_path / "run").rename(tmp_path / "moved")
    with DirectoryLock(tmp_path / "run"):
        moved.__exit__(None, None, None)
        with pytest.raises(RunDirectoryError, match="in use by another run"):
            DirectoryLock(tmp_path / "run").__enter__()


_TAKE = """
import sys, time
from pathlib import Path
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.errors import RunDirectoryError
directory, inside, taken = Path(sys.argv[1]), Path(sys.argv[1]) / "inside", 0
end_s = time.monotonic() + 1.5
while time.monotonic() < end_s:
    try:
        with DirectoryLock(directory):
            inside.touch(exist_ok=False)
            inside.unlink()
            taken += 1
    except RunDirectoryError:
        pass
print(taken)
"""


def test_no_two_processes_have_a_directory_at_once(tmp_path: Path) -> None:
    """Although each removes the lock's file when it leaves."""
    command = [sys.executable, "-c", _TAKE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = [process.communicate() for process in processes]
    assert [stderr for _, stderr in ended] == [b""] * 3
    assert sum(int(stdout) for stdout, _ in ended) > 10


def test_the_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    """`-o runs/2026/first` needs no mkdir."""
    with DirectoryLock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_path_that_cannot_be_a_directory_is_reported_with_a_cure(tmp_path: Path, place: str) -> None:
    """Exit code 3."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"cannot be made or written .*; use another -o DIR") as caught:
        DirectoryLock(tmp_path / place).__enter__()
    assert caught.value.exit_code == 3
    assert (tmp_path / "file").read_text() == "mine"
