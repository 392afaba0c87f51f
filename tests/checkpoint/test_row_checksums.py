"""A byte that changes on the disk is noticed, in whatever small table, and the row is named."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.alike import make_version_6
from harness.damage import answers, make_checkpoint

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.checkpoint.file import connect
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.row_checksums import RowName, changed_rows, row_checksum
from batchrun.checkpoint.salvage.rescue import recover
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError

PRICES = {"": {"m": {"input_usd_per_mtok": 1.25}}}
SMALL = {
    "batches",
    "endpoint_limits",
    "endpoint_pauses",
    "execution_totals",
    "executions",
    "facts",
    "limits",
    "models",
    "pauses",
    "sources",
    "totals",
}


def write(directory: Path) -> None:
    """Write a checkpoint with a row in each small table."""
    with Store(directory) as store:
        store.model_id("m")
        store.put(answers(1)[0]._replace(endpoint="east"))
        store.note_limit(1000, 5, "probe", "east")
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000, endpoint="east")
        store.history.paused("m", "timeout", 2000)
        store.batches.note(BatchRow(1, "m", "chat", "created", 3, 3.0, 0.5, 1000))
        store.set_fact(facts.PRICES, PRICES)
        store.set_fact(facts.UNWANTED, 7)


def changed(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(directory: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def problem(directory: Path) -> str:
    with pytest.raises(DamagedError) as raised, Checkpoint(directory):
        pass
    with pytest.raises(DamagedError) as by_run, Store(directory):
        pass
    assert str(by_run.value) == str(raised.value)
    return str(raised.value)


def test_each_row_of_each_small_table_has_one(tmp_path: Path) -> None:
    write(tmp_path)
    assert {table for (table,) in rows(tmp_path, "SELECT of_table FROM row_checksums")} == SMALL
    for table in SMALL:
        noted = f"SELECT count(*) FROM row_checksums WHERE of_table = '{table}'"
        assert rows(tmp_path, noted) == rows(tmp_path, f"SELECT count(*) FROM {table}"), table


def test_a_change_of_any_column_is_noticed(tmp_path: Path) -> None:
    """Each value by itself, of each table."""
    write(tmp_path)
    for table in SMALL:
        for _, column, *_, in_key in rows(tmp_path, f"PRAGMA table_info({table})"):
            if in_key:
                continue
            before = (tmp_path / FILE_NAME).read_bytes()
            changed(tmp_path, f"UPDATE {table} SET {column} = '1' || coalesce({column}, '')")
            assert f"its table {table} changed" in problem(tmp_path) or table == "facts", (table, column)
            (tmp_path / FILE_NAME).write_bytes(before)
    with Checkpoint(tmp_path):
        pass


@pytest.mark.parametrize("flip", [1, 0x80])
def test_a_fact_is_named_with_its_meaning_and_the_cure(tmp_path: Path, flip: int) -> None:
    """A flip of the highest bit makes a text that is not valid Unicode."""
    write(tmp_path)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[data.index(b'{"input_usd_per_mtok":1.25}') + 23] ^= flip
    path.write_bytes(data)
    meaning = facts.PRICES.meaning
    assert f"(the fact prices ({meaning}) changed on the disk: the checksum is wrong)" in problem(tmp_path)
    assert f"batchrun export {tmp_path} --salvage" in problem(tmp_path)
    found = recover(tmp_path)
    assert found is not None
    assert f"left out, because it changed on the disk or is lost: the fact prices ({meaning})" in found.notices
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.PRICES) is None
        assert checkpoint.fact(facts.UNWANTED) == 7
        assert [each.endpoint for some in checkpoint.outcomes() for each in some] == ["east"]
        assert [(each.id, each.reserved_usd) for each in checkpoint.batches()] == [(1, 3.0)]
        assert len(checkpoint.executions(is_running=False)) == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM totals", "row 0 of its table totals"),
        ("UPDATE models SET id = 1", "row 0 of its table models"),
        ("UPDATE row_checksums SET of_table = 'total' WHERE of_table = 'totals'", "row 0 of its table total "),
    ],
)
def test_a_row_that_is_gone_or_has_another_number_is_noticed(tmp_path: Path, statement: str, says: str) -> None:
    write(tmp_path)
    changed(tmp_path, statement)
    assert says in problem(tmp_path)


def test_only_some_of_many_rows_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    with Store(tmp_path) as store:
        for number in range(1_200):
            store.note_limit(number, 5, "probe")
    changed(tmp_path, "UPDATE limits SET requests = 6")
    assert "row 1 of its table limits, row 2 of its table limits" in problem(tmp_path)
    assert "and 1,196 more changed on the disk" in problem(tmp_path)


def test_totals_that_changed_are_counted_again(tmp_path: Path) -> None:
    """From the rows: a cap compares with what was spent."""
    make_checkpoint(tmp_path, 20)
    changed(tmp_path, "UPDATE totals SET prompt_tokens = 9")
    found = recover(tmp_path)
    assert found is not None
    assert (found.rows, found.expected) == (20, None)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.totals()["m"].prompt_tokens == 60


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.set_fact(facts.UNWANTED, 8),
        lambda store: store.connection.execute("DELETE FROM facts WHERE name = 'unwanted'"),
        lambda store: store.connection.execute("UPDATE OR IGNORE facts SET name = 'other' WHERE name = 'unwanted'"),
        lambda store: store.connection.execute("INSERT OR IGNORE INTO models VALUES (1, 'n')"),
        lambda store: store.connection.execute("INSERT OR REPLACE INTO models VALUES (0, 'n')"),
    ],
)
def test_whatever_a_run_writes_its_checksums_are_right(tmp_path: Path, change: Callable[[Store], Any]) -> None:
    """Also where a row is replaced, gets another key, or goes."""
    write(tmp_path)
    with Store(tmp_path) as store:
        change(store)
    with Checkpoint(tmp_path):
        pass


def test_a_file_of_an_older_version_gets_them_when_a_run_opens_it(tmp_path: Path) -> None:
    """Who only looks sees it as it is."""
    write(tmp_path)
    make_version_6(tmp_path, has_batches=True)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.PRICES) == PRICES
    with Store(tmp_path):
        pass
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.PRICES) == PRICES
    changed(tmp_path, "UPDATE facts SET value = '8' WHERE name = 'unwanted'")
    assert "the fact unwanted" in problem(tmp_path)


def test_any_program_can_read_the_file_and_add_a_row(tmp_path: Path) -> None:
    """What it adds has no checksum, and is taken as it is."""
    write(tmp_path)
    changed(tmp_path, "INSERT INTO facts VALUES ('limit', '8')")
    with closing(connect(tmp_path / FILE_NAME, read_only=True)) as connection:
        assert changed_rows(connection) == []


@pytest.mark.parametrize(("value", "stored"), [("text", b"text"), (3.0, 3), (None, None), (0.5, 0.5)])
def test_a_value_has_one_checksum_however_it_is_read(value: Any, stored: Any) -> None:
    """SQLite stores a whole float as an integer, and the bytes of a text are read by a salvage."""
    assert row_checksum(1, value) == row_checksum(1, stored)


def test_a_row_is_named() -> None:
    assert str(RowName("totals", 0)) == "row 0 of its table totals"
    assert str(RowName("facts", "of a newer version")) == "the fact of a newer version (not known to this version)"
