"""A checkpoint of an older version becomes one of this version: completely or not at all, and with all its content."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness.checkpoints import outcomes_in
from harness.damage import answers, make_checkpoint

from batchrun.checkpoint import file, migrations, tables
from batchrun.checkpoint.file import connect
from batchrun.checkpoint.migrations import FIRST, MIGRATIONS, migrate
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import APPLICATION_ID, FILE_NAME, VERSION
from batchrun.errors import RunDirectoryError

FIRST_TABLES = {
    "facts": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
    "models": "id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE",
    "outcomes": "id INTEGER PRIMARY KEY, key BLOB NOT NULL, custom_id TEXT, kind TEXT, error TEXT, "
    "http_status INTEGER, attempts INTEGER NOT NULL, throttled INTEGER NOT NULL, latency_s REAL, "
    "finished_at_ms INTEGER NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, "
    "cached_tokens INTEGER, reasoning_tokens INTEGER, body BLOB",
    "totals": "model INTEGER PRIMARY KEY, "
    + ", ".join(
        f"{name} INTEGER NOT NULL DEFAULT 0"
        for name in (
            *("completed", "failed", "attempts", "throttled", "prompt_tokens", "completion_tokens", "total_tokens"),
            *("cached_tokens", "reasoning_tokens", "unstated"),
        )
    ),
    "limits": "at_ms INTEGER NOT NULL, requests INTEGER NOT NULL, reason TEXT NOT NULL",
}
"""As version 1 made them; never to be changed, for there are files like that."""


def make_first(path: Path) -> None:
    """Make a checkpoint as version 1 did."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table, columns in FIRST_TABLES.items():
            without = " WITHOUT ROWID" if table == "facts" else ""
            connection.execute(f"CREATE TABLE {table} ({columns}){without}")
        connection.execute("CREATE TABLE retired AS SELECT * FROM outcomes")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FIRST}")


def columns_of(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}


def test_every_file_since_the_first_version_gets_the_tables_of_this_one(tmp_path: Path) -> None:
    """A change of a table without a migration fails here."""
    make_first(tmp_path / "old")
    with closing(connect(tmp_path / "old")) as old, closing(connect(tmp_path / "new")) as new:
        assert columns_of(old) == columns_of(new)
        assert old.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert FIRST + len(MIGRATIONS) == VERSION


LATER = (
    *MIGRATIONS,
    ("ALTER TABLE models ADD COLUMN owner TEXT", "UPDATE models SET owner = 'nobody'"),
    ("CREATE TABLE notes (text TEXT)", "INSERT INTO notes SELECT owner FROM models"),
)


def become(monkeypatch: pytest.MonkeyPatch, later: tuple[migrations.Migration, ...]) -> None:
    """Become a later batchrun."""
    for module in (file, tables):
        monkeypatch.setattr(module, "VERSION", FIRST + len(later))
    monkeypatch.setattr(migrations, "MIGRATIONS", later)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_a_run_brings_an_older_file_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, and what it holds stays."""
    outcomes = make_checkpoint(tmp_path, 20)
    become(monkeypatch, LATER)
    with Store(tmp_path) as store:
        assert store.connection.execute("SELECT text FROM notes").fetchall() == [("nobody",)]
        assert store.totals["m"].completed == 20
    assert version_of(tmp_path / FILE_NAME) == VERSION + 2
    assert outcomes_in(tmp_path) == outcomes
    with Store(tmp_path) as store:  # once is enough
        assert store.connection.execute("SELECT count(*) FROM notes").fetchone() == (1,)


def test_reading_an_older_file_does_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and export may look while an older batchrun writes it."""
    outcomes = make_checkpoint(tmp_path, 20)
    before = (tmp_path / FILE_NAME).read_bytes()
    become(monkeypatch, LATER)
    with Checkpoint(tmp_path) as checkpoint:
        assert [each for some in checkpoint.outcomes() for each in some] == outcomes
        assert checkpoint._connection.execute("SELECT text FROM notes").fetchall() == [("nobody",)]
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The earlier steps and the version are undone too."""
    make_checkpoint(tmp_path, 5)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.Error, match="nonsense"):
            migrate(connection, [*LATER, ("nonsense",)])
        assert "notes" not in columns_of(connection)
        assert not connection.in_transaction
    assert version_of(tmp_path / FILE_NAME) == VERSION
    assert outcomes_in(tmp_path) == answers(5)


def test_a_file_that_cannot_be_migrated_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback."""
    make_checkpoint(tmp_path, 5)
    become(monkeypatch, (*MIGRATIONS, ("nonsense",)))
    with pytest.raises(RunDirectoryError, match="nonsense"), Store(tmp_path):
        pass
    assert version_of(tmp_path / FILE_NAME) == VERSION


def test_a_file_that_lacks_only_tables_is_read_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a large checkpoint takes minutes, and `watch` looks every second."""
    make_first(tmp_path / FILE_NAME)
    before = (tmp_path / FILE_NAME).read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("was copied")

    monkeypatch.setattr(file, "_migrated_copy", refuse)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.executions(is_running=False) == []
    assert (tmp_path / FILE_NAME).read_bytes() == before
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
    assert version_of(tmp_path / FILE_NAME) == VERSION
    with Checkpoint(tmp_path) as checkpoint:
        assert [each.started_at_ms for each in checkpoint.executions(is_running=False)] == [1000]
