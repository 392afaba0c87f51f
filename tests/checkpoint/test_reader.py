"""What is read of a checkpoint without changing it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from harness.checkpoints import answer, columns_of, requests, settle
from harness.descriptors import open_descriptors

from batchrun.checkpoint import facts, scan
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.errors import RunDirectoryError


def test_columns_say_what_outcomes_do(tmp_path: Path) -> None:
    """Value by value."""
    outcomes = [answer(each, sample=3) for each in requests(*"abc")]
    settle(tmp_path, outcomes)
    with Checkpoint(tmp_path) as checkpoint:
        (columns,) = checkpoint.columns()
    found = {name: list(values) for name, values in columns.items()}
    assert found == columns_of(outcomes)


def test_outcomes_come_in_lists_of_bounded_length(tmp_path: Path) -> None:
    """So that ten million rows need the memory of a few hundred."""
    count = 2 * scan._ROWS + 1
    settle(tmp_path, [answer(each) for each in requests(*map(str, range(count)))])
    with Checkpoint(tmp_path) as checkpoint:
        lists = list(checkpoint.outcomes())
    assert [len(some) for some in lists] == [scan._ROWS, scan._ROWS, 1]
    assert [each.row for some in lists for each in some] == list(range(count))


def test_a_fact_is_what_was_written_and_none_where_nothing_was(tmp_path: Path) -> None:
    """As the run wrote them."""
    with Store(tmp_path) as store:
        store.set_fact(facts.JOB, {"name": "a"})
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.fact(facts.JOB) == {"name": "a"}
        assert checkpoint.fact(facts.FOLDER) is None


def test_reading_changes_no_byte(tmp_path: Path) -> None:
    """Status and export may look at any time."""
    settle(tmp_path, [answer(each) for each in requests(*"abc")])
    before = (tmp_path / "checkpoint.sqlite").read_bytes()
    with Checkpoint(tmp_path) as checkpoint:
        list(checkpoint.outcomes())
    assert (tmp_path / "checkpoint.sqlite").read_bytes() == before


def test_totals_come_model_by_model_in_the_order_of_the_job(tmp_path: Path) -> None:
    """Neither alphabetically nor as the answers came."""
    (request,) = requests("a")
    with Store(tmp_path) as store:
        for model in ("z", "a", "m"):
            store.model_id(model)
        store.put(answer(request, model="m"))
        store.put(answer(request, model="a"))
    with Checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.totals()) == ["a", "m"]
        assert checkpoint.totals()["m"].requests == 1


def test_the_limit_s_history_is_read_in_order_of_time(tmp_path: Path) -> None:
    """As a report draws it."""
    with Store(tmp_path) as store:
        store.note_limit(1_000, 8, "ramp")
        store.note_limit(3_000, 6, "rejected")
    with Checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.limits()) == [(1_000, 8), (3_000, 6)]


def test_throttles_are_counted_by_when_their_rows_were_settled(tmp_path: Path) -> None:
    """In bins; bins without any are left out."""
    first, second, third, fourth = requests("a", "b", "c", "d")
    calm, others = tmp_path / "calm", tmp_path / "others"
    calm.mkdir()
    others.mkdir()
    settle(calm, [answer(first)])
    settled = [(first, 1_000, 2), (second, 1_400, 1), (third, 1_600, 0), (fourth, 2_000, 5)]
    settle(others, [answer(each, finished_at_ms=at_ms, throttled=count) for each, at_ms, count in settled])
    with Checkpoint(calm) as checkpoint:
        assert checkpoint.throttles(1_000, 500) == {}
    with Checkpoint(others) as checkpoint:
        assert checkpoint.throttles(1_000, 500) == {0: 3, 2: 5}


def test_a_checkpoint_that_cannot_be_read_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold it so that no snapshot can be taken."""

    class Busy(sqlite3.Connection):
        def execute(self, *statement: Any) -> sqlite3.Cursor:
            if statement[0] == "BEGIN":
                raise sqlite3.OperationalError("database is locked")
            return super().execute(*statement)

    with Store(tmp_path):
        pass
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *places, **options: connect(*places, factory=Busy, **options))
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(RunDirectoryError, match="is locked"):
            Checkpoint(tmp_path).__enter__()
    assert open_descriptors() == before
