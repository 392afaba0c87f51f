import asyncio
from pathlib import Path

from harness.alike import make_version_6
from harness.checkpoints import outcomes_in

from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, WRITTEN, BatchRow, read_batches
from batchrun.checkpoint.batches import BatchLog
from batchrun.checkpoint.changes import adapt, foresee
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.sources import read_sources
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.totals import Extra
from batchrun.records import BY_BATCH, BatchLine, Outcome, Request, Usage

KEY, OTHER = bytes(16), bytes(15) + b"x"
BATCH = BatchRow(1, "m", "chat", WRITTEN, 2, 0.5, 7.0, 5)

CREATED_BATCH = BATCH._replace(step=CREATED)


def request(row: int, key: bytes = KEY) -> Request:
    return Request(row, "m", 0, key, b"{}", None)


def outcome(row: int) -> Outcome:
    return Outcome(row, "m", 0, KEY, None, None, None, 200, 1, None, 5, b"{}", Usage(1, 1, 2))


def line(log: BatchLog, batch: int, row: int) -> BatchLine:
    number = log.id_of(request(row))
    return BatchLine(batch, number, number, KEY, None)


def opened(folder: Path) -> Store:
    store = Store(folder)
    store.__enter__()
    store.model_id("m")
    store.start(lambda rows: None, lambda problem: None)
    return store


def test_a_request_is_to_be_sent_unless_it_is_settled_or_in_a_batch(tmp_path: Path) -> None:
    """Of an edited row, the line says nothing about the new request."""
    store = opened(tmp_path)
    log = store.batches
    log.note(BATCH)
    log.add_lines([line(log, 1, row) for row in (0, 1)])
    log.add_lines([line(log, 0, 2)._replace(attempts=2)])
    store.put(outcome(3))
    asyncio.run(log.committed())
    asked = [request(0), request(1, OTHER), request(2), request(3), request(4)]
    found = {each.row: its for each, its in log.to_send(asked)}
    assert list(found) == [1, 2, 4]
    assert found[1] is None
    assert found[2] is not None
    assert found[2].attempts == 2
    store.__exit__(None, None, None)


def test_what_a_batch_leaves_is_written_with_what_it_has_used_or_not_at_all(tmp_path: Path) -> None:
    store = opened(tmp_path)
    log = store.batches
    log.note(BATCH)
    lines = [line(log, 1, row) for row in (0, 1)]
    log.add_lines(lines)
    store.put(outcome(0))
    asyncio.run(log.committed())
    assert [is_settled for _, is_settled in log.lines(1)] == [True, False]
    log.collected(BATCH._replace(step=COLLECTED), [lines[1].back()._replace(attempts=1)], [Extra("m", Usage(9, 1, 10))])
    asyncio.run(log.committed())
    assert log.lines(1) == []
    assert log.waiting() == (1, [Extra("m", attempts=1)])
    assert store.totals["m"].prompt_tokens == 10
    assert [each.step for each in log.batches()] == [COLLECTED]
    store.__exit__(None, None, None)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.batches() == [BATCH._replace(step=COLLECTED)]


def test_a_run_without_batches_has_none(tmp_path: Path) -> None:
    with Store(tmp_path) as store, store.using() as connection:
        assert read_batches(connection) == []


def test_what_is_answered_is_counted_also_where_the_provider_does_not() -> None:
    row = BatchRow(1, "m", "chat", COLLECTED, 100, 0.0, 0.0, 0)
    assert row._replace(status="completed").answered == 100
    assert row._replace(status="expired", completed=30, failed=5).answered == 35
    assert row._replace(status="failed").answered == 0


def test_lines_of_version_6_are_those_of_the_requests_they_were_written_for(tmp_path: Path) -> None:
    """Read without a copy of the file, and after a run has opened it."""
    store = opened(tmp_path)
    store.batches.note(CREATED_BATCH)
    lines = [line(store.batches, 1, row)._replace(custom_id="theirs") for row in (0, 1)]
    store.batches.add_lines(lines)
    store.__exit__(None, None, None)
    make_version_6(tmp_path, has_batches=True)
    asked = [[request(0), request(1, OTHER), request(2)]]
    foreseen = foresee(tmp_path, asked).change
    assert (foreseen.new, foreseen.in_batches, foreseen.dropped) == (3, 2, 0)  # the last one asks what the second did
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.batches() == [CREATED_BATCH]
    with Store(tmp_path) as store:
        assert [each for each, _ in store.batches.lines(1)] == lines


def test_a_run_of_version_6_without_batches_gets_their_tables(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.model_id("m")
    make_version_6(tmp_path, has_batches=False)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.batches() == []
    assert foresee(tmp_path, [[request(0)]]).change.in_batches == 0
    with Store(tmp_path) as store:
        assert store.batches.batches() == []


def test_what_is_retired_is_counted_and_given_to_the_request_that_asks_it(tmp_path: Path) -> None:
    """In one transaction with its line: collected twice, it is not counted twice."""
    store = opened(tmp_path)
    log = store.batches
    log.note(CREATED_BATCH)
    log.add_lines([line(log, 1, 0)])
    store.__exit__(None, None, None)
    with Store(tmp_path) as store:
        change = adapt(store, [[request(0, OTHER)]], lambda change: True)
        assert (change.new, change.in_batches, change.dropped) == (1, 1, 1)
    store = opened(tmp_path)
    [(free, is_settled)] = store.batches.lines(1)
    assert (free.id, is_settled) == (None, False)
    store.batches.retire(free, outcome(0)._replace(endpoint=BY_BATCH))
    asyncio.run(store.batches.committed())
    assert store.batches.lines(1) == []
    assert (store.totals["m"].requests, store.totals["m"].attempts, store.totals["m"].total_tokens) == (0, 1, 2)
    store.__exit__(None, None, None)
    with Store(tmp_path) as store:
        change = adapt(store, [[request(0, OTHER), request(5)]], lambda change: True)
        assert (change.kept, change.new, change.dropped) == (1, 1, 0)
        assert (store.totals["m"].completed, store.totals["m"].attempts) == (1, 1)
        assert [each.source.endpoint for each in read_sources(store.connection)] == [BY_BATCH]
    [found] = outcomes_in(tmp_path)
    assert (found.row, found.endpoint) == (5, BY_BATCH)
