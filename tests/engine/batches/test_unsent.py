"""Which batches are forgotten that were never created."""

import asyncio
from pathlib import Path

import pytest

from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, CREATING, UPLOADED, WRITING, WRITTEN, BatchRow
from batchrun.checkpoint.store import Store
from batchrun.engine.batches.files import input_file
from batchrun.engine.batches.unsent import forget_unsent
from batchrun.records import BatchLine, Outcome, Request, Usage

ROWS = 2


def left(folder: Path, step: str, *, lines: int = ROWS, settled: int = 0, is_by_batch: bool = True) -> tuple[int, int]:
    """Return how many batches and waiting lines are left of a batch of two requests."""
    requests = [Request(row, "m", 0, bytes(16), b"{}", None) for row in range(ROWS)]
    with Store(folder) as store:
        store.model_id("m")
        store.start(lambda rows: None, lambda problem: None)
        log = store.batches
        log.note(BatchRow(1, "m", "chat", step, ROWS, 0.0, 0.0, 0))
        numbers = [log.id_of(each) for each in requests[:lines]]
        log.add_lines([BatchLine(1, number, number, bytes(16), None) for number in numbers])
        for each in requests[:settled]:
            store.put(Outcome(each.row, "m", 0, each.key, None, None, None, 200, 1, None, 0, b"{}", Usage()))
        asyncio.run(log.committed())
    input_file(folder, 1).parent.mkdir()
    input_file(folder, 1).write_text("")
    with Store(folder) as store:
        with store.using() as connection:
            forget_unsent(connection, folder, is_by_batch=is_by_batch)
            (waiting,) = connection.execute("SELECT count(*) FROM batch_lines WHERE batch = 0").fetchone()
        count = len(store.batches.batches())
        store.batches.close()
    is_open = count == 1 and step != COLLECTED  # of one that is collected a power cut may bring back the file
    assert input_file(folder, 1).exists() == is_open
    return count, waiting


@pytest.mark.parametrize("step", [WRITTEN, UPLOADED, CREATING, CREATED, COLLECTED])
def test_a_batch_stays_whose_requests_are_all_open(tmp_path: Path, step: str) -> None:
    assert left(tmp_path, step) == (1, 0)


@pytest.mark.parametrize("step", [WRITTEN, UPLOADED])
def test_one_goes_whose_requests_were_edited_or_answered_otherwise(tmp_path: Path, step: str) -> None:
    for number, (lines, settled, waiting) in enumerate([(1, 0, 1), (2, 1, 1), (2, 2, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert left(folder, step, lines=lines, settled=settled) == (0, waiting)


def test_one_goes_that_was_not_completed_and_any_where_ordinary_requests_are_sent(tmp_path: Path) -> None:
    for number, (step, is_by_batch) in enumerate([(WRITING, True), (WRITTEN, False), (UPLOADED, False)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert left(folder, step, is_by_batch=is_by_batch) == (0, 2)


@pytest.mark.parametrize("step", [CREATING, CREATED])
def test_what_may_be_at_the_provider_stays_whatever_became_of_its_requests(tmp_path: Path, step: str) -> None:
    assert left(tmp_path, step, lines=1, settled=1) == (1, 0)
