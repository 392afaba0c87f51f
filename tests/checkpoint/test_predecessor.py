"""A checkpoint that is set aside is whole, and can be put back."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness.checkpoints import answer, log_kept, outcomes_in, requests, settle

from batchrun.checkpoint import facts
from batchrun.checkpoint.in_flight import FILE_NAME as IN_FLIGHT
from batchrun.checkpoint.predecessor import set_aside
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME


def test_a_checkpoint_set_aside_can_still_be_read(tmp_path: Path) -> None:
    """And those before it, however often: their answers were paid for. A log that one has left is nobody else's."""
    (tmp_path / f"before-restart.2.{FILE_NAME}-wal").write_bytes(b"left by one that is gone")
    for name in ("first", "second"):
        with Store(tmp_path) as store:
            store.set_fact(facts.IDENTITY, name)
        set_aside(tmp_path)
        set_aside(tmp_path)  # nothing to do
    for name, number in (("first", ""), ("second", ".3")):
        (tmp_path / f"before-restart{number}.{FILE_NAME}").rename(tmp_path / FILE_NAME)
        with Checkpoint(tmp_path) as checkpoint:
            assert checkpoint.fact(facts.IDENTITY) == name
        (tmp_path / FILE_NAME).unlink()


def test_a_checkpoint_that_was_set_aside_can_be_put_back(tmp_path: Path) -> None:
    """With its log and the note of what was in flight, in place of what was begun meanwhile."""
    before = {FILE_NAME: b"file", f"{FILE_NAME}-wal": b"log", IN_FLIGHT: b"note"}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    kept = set_aside(tmp_path)
    for name in (*before, f"{FILE_NAME}-shm"):
        (tmp_path / name).write_bytes(b"begun meanwhile")
    assert kept is not None
    kept.put_back()
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    index = found.pop(f"{FILE_NAME}-shm", b"")  # which SQLite makes of the log whenever it reads one
    assert b"begun meanwhile" not in index
    assert found == before


def test_a_log_alone_is_set_aside_too(tmp_path: Path) -> None:
    """SQLite would delete it, or read it into the next checkpoint."""
    for suffix in ("-wal", "-journal"):
        (tmp_path / (FILE_NAME + suffix)).write_bytes(b"of another")
    set_aside(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {
        f"before-restart.{FILE_NAME}{suffix}" for suffix in ("-wal", "-journal")
    }


def test_what_a_killed_run_has_left_in_the_log_is_in_the_file(tmp_path: Path) -> None:
    """A power cut that keeps only one of two new names would part them."""
    run, killed = tmp_path / "run", tmp_path / "killed"
    with log_kept(run):
        settle(run, [answer(each) for each in requests("a", "b")])
        shutil.copytree(run, killed)
    assert (killed / f"{FILE_NAME}-wal").stat().st_size
    kept = set_aside(killed)
    assert kept is not None
    assert [path.name for path in killed.glob(f"*{FILE_NAME}*")] == [kept.kept.name]
    kept.kept.rename(killed / FILE_NAME)
    assert [each.row for each in outcomes_in(killed)] == [0, 1]


class _CrashError(Exception):
    """The machine stops."""


FILES = (FILE_NAME, f"{FILE_NAME}-wal")
KEPT = tuple(f"before-restart.{name}" for name in FILES)


@pytest.mark.parametrize("is_put_back", [False, True])
@pytest.mark.parametrize("step", range(6))
def test_a_damaged_checkpoint_is_never_without_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, is_put_back: bool
) -> None:
    """Whatever change of a name is the last one before a crash; one of the two names always has both."""
    for name, content in zip(FILES, (b"damaged", b"log"), strict=True):
        (tmp_path / name).write_bytes(content)
    done = set_aside(tmp_path) if is_put_back else None
    left = step

    def crashing(change: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise _CrashError
            left -= 1
            return change(*arguments, **options)

        return run

    with monkeypatch.context() as patched:
        for kind, name in ((os, "link"), (Path, "replace"), (Path, "unlink")):
            patched.setattr(kind, name, crashing(getattr(kind, name)))
        with contextlib.suppress(_CrashError):
            set_aside(tmp_path) if done is None else done.put_back()
    names = [each for each in (FILES, KEPT) if (tmp_path / each[0]).exists()]
    assert names
    for file, log in names:
        assert ((tmp_path / file).read_bytes(), (tmp_path / log).read_bytes()) == (b"damaged", b"log")


def test_the_log_of_a_damaged_checkpoint_is_named_and_found_with_it(tmp_path: Path) -> None:
    for name, content in zip(FILES, (b"damaged", b"log"), strict=True):
        (tmp_path / name).write_bytes(content)
    kept = set_aside(tmp_path)
    assert kept is not None
    assert tuple(kept.names) == KEPT
    assert {path.name for path in tmp_path.iterdir()} == {*KEPT}
