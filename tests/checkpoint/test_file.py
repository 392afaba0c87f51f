"""Which files are taken for a checkpoint, and what becomes of them."""

import os
import sqlite3
from pathlib import Path

import pytest

from batchrun.checkpoint import facts
from batchrun.checkpoint.file import connect
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import APPLICATION_ID, FILE_NAME, VERSION
from batchrun.errors import RunDirectoryError


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()


def newer_checkpoint(path: Path) -> None:
    connect(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def cut_checkpoint(path: Path) -> None:
    connect(path).close()
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("opened", [Store, Checkpoint])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(bytes(range(256)) * 64), "is damaged or not a checkpoint"),
        (lambda path: path.write_text("hello"), "is damaged or not a checkpoint"),
        (foreign_database, "is not a checkpoint of batchrun"),
        (newer_checkpoint, "run pip install . in a newer checkout"),
        (cut_checkpoint, "is damaged or not a checkpoint"),
        (lambda path: path.mkdir(), "cannot be read or written"),
    ],
    ids=["random bytes", "text", "another program's", "a newer version's", "cut short", "a folder"],
)
def test_a_file_that_is_not_a_checkpoint_is_refused_and_not_changed(
    tmp_path: Path, opened: type, make: object, says: str
) -> None:
    """It may be somebody's data: exit code 3, with the file's name, and not a byte of it changed."""
    path = tmp_path / FILE_NAME
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RunDirectoryError, match=says) as caught, opened(tmp_path):
        pass
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_a_new_file_says_what_it_is(tmp_path: Path) -> None:
    """`file` and other programs can tell."""
    connection = connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


def test_an_empty_file_is_made_a_checkpoint(tmp_path: Path) -> None:
    """A run may have died before its first table was made."""
    (tmp_path / FILE_NAME).touch()
    with Store(tmp_path) as store:
        assert store.totals == {}


def test_a_directory_may_have_any_name(tmp_path: Path) -> None:
    """Also one that means something in a URI."""
    directory = tmp_path / "run #1? 100% done"
    directory.mkdir()
    with Store(directory):
        pass
    with Checkpoint(directory) as checkpoint:
        assert checkpoint.totals() == {}


def test_reading_where_no_run_is_names_the_directory(tmp_path: Path) -> None:
    """And makes no file there."""
    with pytest.raises(RunDirectoryError, match="holds no run"), Checkpoint(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_no_log_that_was_not_there_before(tmp_path: Path) -> None:
    """And does not touch the file: results would look older than their checkpoint."""
    with Store(tmp_path) as store:
        store.set_fact(facts.IDENTITY, "me")
    written_ns = (tmp_path / FILE_NAME).stat().st_mtime_ns
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.IDENTITY) == "me"
    assert not list(tmp_path.glob(f"{FILE_NAME}-*"))
    assert (tmp_path / FILE_NAME).stat().st_mtime_ns == written_ns


def test_reading_leaves_the_log_of_a_killed_run_alone(tmp_path: Path) -> None:
    """It is for the next run, or for a salvage."""
    with Store(tmp_path) as store:
        store.connection.execute("INSERT INTO facts VALUES ('identity', '\"me\"')")
        for suffix in ("", "-wal"):
            (tmp_path / "killed").mkdir(exist_ok=True)
            (tmp_path / "killed" / (FILE_NAME + suffix)).write_bytes((tmp_path / (FILE_NAME + suffix)).read_bytes())
    before = {suffix: (tmp_path / "killed" / (FILE_NAME + suffix)).read_bytes() for suffix in ("", "-wal")}
    assert len(before["-wal"]) > 0
    with Checkpoint(tmp_path / "killed") as checkpoint:
        assert checkpoint.fact(facts.IDENTITY) == "me"
    assert {suffix: (tmp_path / "killed" / (FILE_NAME + suffix)).read_bytes() for suffix in before} == before


def test_a_run_can_be_read_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would make a log first, and cannot."""
    with Store(tmp_path) as store:
        store.set_fact(facts.IDENTITY, "me")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.IDENTITY) == "me"
        assert not list(tmp_path.glob(f"{FILE_NAME}-*"))
