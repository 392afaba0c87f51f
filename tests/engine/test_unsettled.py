"""What is left of a run, as it is sent: requests for this process, packed rows for workers."""

from pathlib import Path

import pytest
from harness.prompts import write_rows
from harness.settled import settle

from batchrun.checkpoint.store import Store
from batchrun.engine.unsettled import is_all_settled, unsettled, unsettled_packed
from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.packing import Unpacking
from batchrun.prompts.source import Source
from batchrun.records import BadRow, PackedRow, Request

ROWS = [{"id": row} | ({"prompt": f"Say {row}."} if row % 7 else {}) for row in range(1, 22)]
"""Every seventh is broken."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch) -> Job:
    """A run in which the first rows are settled, with the input of all."""
    monkeypatch.chdir(tmp_path)
    job = settle(ROWS[:4], lambda request: "yes")
    write_rows("in.jsonl", *ROWS)
    return job


def test_rows_for_workers_are_those_for_this_process(job: Job) -> None:
    """Broken ones among them."""
    with Store(job.run_directory) as store:
        store.expect(1)
        with Source(job) as source:
            source.open()
            here = [each for batch in unsettled(job, source, store, fits=False) for each in batch]
        with Source(job) as source:
            source.open()
            packed = [each for batch in unsettled_packed(job, source, store, fits=True) for each in batch]
    assert all(isinstance(each, PackedRow) for each in packed)
    there = [*Unpacking(job).entries(packed)]
    assert [each.row for each in here] == list(range(4, len(here) + 4))
    assert isinstance(here[-1], BadRow)
    assert there == here


def test_rows_that_may_be_settled_are_compared_before_they_leave(job: Job) -> None:
    """An input that was exchanged is found out; rows after them travel packed."""
    with Store(job.run_directory) as store:
        store.expect(2)  # as if another model were asked too: all rows are looked at again
        with Source(job) as source:
            source.open()
            batches = [*unsettled_packed(job, source, store, fits=True)]
            assert {type(each) for batch in batches for each in batch} <= {Request, PackedRow, BadRow}
        text = Path("in.jsonl").read_text()
        Path("in.jsonl").write_text(text.replace("Say 2.", "Say two."))
        with Source(job) as source:
            source.open()
            with pytest.raises(InputError, match="row 1 is not what it was"):
                [*unsettled_packed(job, source, store, fits=True)]


@pytest.mark.parametrize(
    ("state", "rows", "fits", "expected"),
    [
        ("completed", 21, True, True),
        ("completed", 22, True, False),
        ("completed", None, True, False),
        ("completed", 21, False, False),
        ("stopped", 21, True, False),
        (None, 21, True, False),
    ],
)
def test_the_input_of_a_finished_run_is_not_read_again(
    state: str | None, rows: int | None, fits: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where a whole pass over it has settled every row, and the number of its rows is certain."""
    monkeypatch.chdir(tmp_path)
    job = settle(ROWS, lambda request: "yes")
    with Store(job.run_directory) as store:
        store.history.begin_execution(1)
        if state is not None:
            store.history.end_execution(2, state)
    with Source(job) as source, Store(job.run_directory) as store:
        source.open()
        if rows is not None:
            source.expect(rows)
        assert is_all_settled(job, source, store, fits=fits) == expected
