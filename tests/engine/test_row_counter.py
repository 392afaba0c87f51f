"""The rows of a run's input are counted before it sends, or while it sends."""

import time
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts

from batchrun.engine import row_counter
from batchrun.engine.row_counter import count_quickly, counting
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.prompts.source import Source
from batchrun.records import RowCount


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def opened(**settings: Any) -> tuple[Job, Source]:
    """Return a job whose input has 3,000 rows, and its input."""
    write_prompts(*(str(row) * (row // 100) for row in range(3_000)))
    job = Job(input=Input(path=("in.jsonl",), **settings), model=Model(names=("m",)), output=Output(dir="out"))
    source = Source(job)
    source.open()
    return job, source


def wait_for(source: Source, rows: int) -> None:
    until_s = time.monotonic() + 30
    while source.input_rows != RowCount(rows, is_exact=True):
        assert time.monotonic() < until_s
        time.sleep(0.01)


@pytest.mark.parametrize(("limit", "rows"), [(None, 3_000), (2_900, 2_900), (4_000, 3_000)])
def test_a_small_input_is_counted_before_anything_is_sent(limit: int | None, rows: int) -> None:
    """The limit on rows is counted in."""
    job, source = opened(limit=limit)
    assert source.input_rows != RowCount(rows, is_exact=True)
    count_quickly(job, source)
    assert source.input_rows == RowCount(rows, is_exact=True)


def test_only_rows_that_meet_the_condition_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run itself and by the other process."""
    job, source = opened(where="prompt | length > 4")
    with counting(job, source):
        wait_for(source, 2_800)
    job, source = opened(where="prompt | length > 4", limit=1_500)
    monkeypatch.setattr(row_counter, "_QUICK_S", 60)
    count_quickly(job, source)
    assert source.input_rows == RowCount(1_500, is_exact=True)


def test_a_large_input_is_counted_by_another_process_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is there as soon as it is known."""
    monkeypatch.setattr(row_counter, "_QUICK_BYTES", 0)
    job, source = opened()
    count_quickly(job, source)
    with counting(job, source):
        wait_for(source, 3_000)


def test_a_count_that_nobody_waits_for_any_more_is_ended() -> None:
    """A run does not wait for it."""
    job, source = opened()
    Path("in.jsonl").write_text('{"prompt": "a"}\n' * 3_000_000)
    source.open()
    before = source.input_rows
    began_s = time.monotonic()
    with counting(job, source):
        pass
    assert time.monotonic() - began_s < 2
    assert source.input_rows == before != RowCount(3_000_000, is_exact=True)


def test_what_cannot_be_counted_stays_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another process, or for an input that is too large, the run goes on."""
    job, source = opened()
    monkeypatch.setattr(row_counter.sys, "executable", "/nowhere")
    with counting(job, source):
        pass
    monkeypatch.setattr(row_counter, "_MOST_BYTES", 10)
    with counting(job, source):
        pass
    assert source.input_rows is not None
    assert not source.input_rows.is_exact


def test_a_file_that_no_run_can_read_to_its_end_is_not_counted() -> None:
    """Its rows are a guess until the run comes to the fault."""
    job, source = opened()
    Path("in.jsonl").unlink()
    count_quickly(job, source)
    assert source.input_rows is not None
    assert not source.input_rows.is_exact
