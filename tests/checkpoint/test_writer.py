"""One transaction writes all that is queued, or nothing. `test_store` shows what a run and a full disk make of it."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.checkpoints import answer, requests

from batchrun.checkpoint import facts, writer
from batchrun.checkpoint.file import connect
from batchrun.checkpoint.mark import SettledMark
from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.reader import SET_FACT, read_fact
from batchrun.checkpoint.ready import made_ready, sealed
from batchrun.checkpoint.tables import FILE_NAME, as_it_is
from batchrun.checkpoint.totals import Extra
from batchrun.checkpoint.writer import Writer
from batchrun.errors import RunDirectoryError
from batchrun.records import Outcome

BATCH = [answer(each) for each in requests(*"abc")]


class Opened:
    """A writer and its surroundings."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        self.queue = WriteQueue()
        self.models = ModelNumbers(path, self.queue)
        self.writer = Writer(path, self.queue, self.models, SettledMark())
        self.writer.load(self.connection)

    def put(self, *outcomes: Outcome) -> None:
        for each in outcomes:
            self.models.number_of(each.model)
            self.queue.put(each)

    def rows(self) -> int:
        (count,) = self.connection.execute("SELECT count(*) FROM outcomes").fetchone()
        return int(count)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / FILE_NAME)
    yield made
    made.writer.stop()
    made.connection.close()


def test_one_commit_writes_all_that_is_queued(opened: Opened) -> None:
    opened.put(*BATCH)
    opened.queue.add(Extra("m", attempts=2))
    opened.queue.run(SET_FACT, facts.TOTAL.name, "9")
    opened.writer.commit(is_last=False)
    assert opened.rows() == 3
    assert opened.writer.totals["m"].attempts == 5
    assert read_fact(opened.connection, facts.TOTAL) == 9
    assert not any(opened.queue.take())


def test_nothing_queued_opens_no_transaction(opened: Opened) -> None:
    statements: list[str] = []
    opened.connection.set_trace_callback(statements.append)
    opened.writer.commit(is_last=True)
    assert statements == []


def test_a_transaction_that_fails_changes_nothing_and_keeps_its_load(opened: Opened) -> None:
    """Rows, totals and bytes of the queue are as before; the next commit writes all of it."""
    opened.put(*BATCH)
    opened.queue.run("INSERT INTO nowhere VALUES (?)", 1)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        opened.writer.commit(is_last=False)
    assert (opened.rows(), opened.writer.totals) == (0, {})
    assert not opened.connection.in_transaction
    opened.connection.execute("CREATE TABLE nowhere (number INTEGER)")
    opened.writer.finish()
    assert (opened.rows(), opened.writer.totals["m"].completed) == (3, 3)


def test_outcomes_are_committed_before_they_are_reported(opened: Opened, tmp_path: Path) -> None:
    """Another connection sees them."""
    reported = threading.Event()
    seen: list[int] = []

    def look(rows: int) -> None:
        other = connect(tmp_path / FILE_NAME, read_only=True)
        seen.extend([rows, *other.execute("SELECT count(*) FROM outcomes").fetchone()])
        other.close()
        reported.set()

    opened.put(*BATCH)
    opened.writer.start(look, lambda problem: None)
    assert reported.wait(10)
    assert seen == [3, 3]


def test_what_another_process_made_ready_is_committed_soon(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is older already; all else waits for its turn."""
    monkeypatch.setattr(writer, "COMMIT_EVERY_S", 60.0)
    reported = threading.Event()
    opened.writer.start(lambda rows: reported.set(), lambda problem: None)
    opened.models.number_of("m")
    opened.queue.put_ready(sealed(made_ready(BATCH, opened.models.numbers, as_it_is)))
    assert not reported.wait(0.1)
    opened.writer.hurry()
    assert reported.wait(10)
    assert opened.writer.totals["m"].completed == 3


def test_a_thread_that_cannot_write_reports_that_and_ends(opened: Opened) -> None:
    reported = threading.Event()
    problems: list[RunDirectoryError] = []

    def report(problem: RunDirectoryError) -> None:
        problems.append(problem)
        reported.set()

    opened.queue.run("INSERT INTO nowhere VALUES (?)", 1)
    opened.writer.start(lambda rows: None, report)
    assert reported.wait(10)
    opened.writer.stop()
    assert len(problems) == 1
    assert "nowhere" in str(problems[0])
