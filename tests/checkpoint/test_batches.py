import asyncio
from pathlib import Path

from batchrun.checkpoint.batch_tables import COLLECTED, WRITTEN, BatchRow, LineRow, read_batches
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.totals import Extra
from batchrun.records import Outcome, Request, Usage

KEY, OTHER = bytes(16), bytes(15) + b"x"
BATCH = BatchRow(1, "m", "chat", WRITTEN, 2, 0.5, 7.0, 5)


def request(row: int, key: bytes = KEY) -> Request:
    return Request(row, "m", 0, key, b"{}", None)


def outcome(row: int) -> Outcome:
    return Outcome(row, "m", 0, KEY, None, None, None, 200, 1, None, 5, b"{}", Usage(1, 1, 2))


def opened(folder: Path) -> Store:
    store = Store(folder)
    store.__enter__()
    store.model_id("m")
    store.start(lambda outcomes: None, lambda problem: None)
    store.batches.open()
    return store


def test_a_request_is_to_be_sent_unless_it_is_settled_or_in_a_batch(tmp_path: Path) -> None:
    """Of an edited row, the line says nothing about the new request."""
    store = opened(tmp_path)
    log = store.batches
    log.note(BATCH)
    log.add_lines([LineRow(log.id_of(request(row)), 1, KEY, None) for row in (0, 1)])
    log.add_lines([LineRow(log.id_of(request(2)), 0, KEY, None, attempts=2)])
    store.put(outcome(3))
    asyncio.run(log.committed())
    asked = [request(0), request(1, OTHER), request(2), request(3), request(4)]
    found = {each.row: line for each, line in log.to_send(asked)}
    assert list(found) == [1, 2, 4]
    assert found[1] is None
    assert found[2] is not None
    assert found[2].attempts == 2
    store.__exit__(None, None, None)


def test_what_a_batch_leaves_is_written_with_what_it_has_used_or_not_at_all(tmp_path: Path) -> None:
    store = opened(tmp_path)
    log = store.batches
    log.note(BATCH)
    lines = [LineRow(log.id_of(request(row)), 1, KEY, None) for row in (0, 1)]
    log.add_lines(lines)
    store.put(outcome(0))
    asyncio.run(log.committed())
    assert [is_settled for _, is_settled in log.lines(1)] == [True, False]
    log.collected(
        BATCH._replace(step=COLLECTED), [lines[1]._replace(batch=0, attempts=1)], [Extra("m", Usage(9, 1, 10))]
    )
    asyncio.run(log.committed())
    assert log.lines(1) == []
    assert log.waiting() == (1, [Extra("m", attempts=1)])
    assert store.totals["m"].prompt_tokens == 10
    assert [each.step for each in log.batches()] == [COLLECTED]
    store.__exit__(None, None, None)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.batches() == [BATCH._replace(step=COLLECTED)]


def test_a_run_without_batches_has_no_tables_of_them(tmp_path: Path) -> None:
    with Store(tmp_path) as store, store.using() as connection:
        assert read_batches(connection) == []


def test_what_is_answered_is_counted_also_where_the_provider_does_not() -> None:
    row = BatchRow(1, "m", "chat", COLLECTED, 100, 0.0, 0.0, 0)
    assert row._replace(status="completed").answered == 100
    assert row._replace(status="expired", completed=30, failed=5).answered == 35
    assert row._replace(status="failed").answered == 0
