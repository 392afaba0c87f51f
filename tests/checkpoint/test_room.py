"""A disk that is nearly full: what was answered is kept, and nothing is bought that could not be."""

import os
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.ledger import serving
from harness.prompts import write_prompts

from batchrun.checkpoint.room import LEAST_BYTES
from batchrun.engine.options import Options
from batchrun.engine.runner import run
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Endpoint, Input, Job, Limits, Model, Output
from batchrun.simulator import Settings

ROWS = 400


@pytest.fixture
def free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[int]], None]:
    """Sets how many bytes are free, each time somebody asks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "any")

    def become(sizes: Iterator[int]) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=1, f_frsize=1, f_bavail=next(sizes)))

    return become


def job_at(base_url: str) -> Job:
    write_prompts(*(f"prompt {row}" for row in range(ROWS)))
    return Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("meta-llama/Llama-3.1-8B-Instruct",)),
        endpoint=Endpoint(base_url=base_url),
        limits=Limits(max_concurrency=8),
        output=Output(dir="out"),
    )


def test_nothing_is_sent_where_an_answer_would_have_no_room(free: Any) -> None:
    """Each time that it is tried again, too; and a run that has nothing to send needs none."""
    with serving(Settings(latency_s=0.01)) as (base_url, ledger):
        job = job_at(base_url)
        for _ in range(2):
            free(repeat(LEAST_BYTES - 1))
            with pytest.raises(RunDirectoryError, match=r"^out: less than 8 MiB are free .* make room"):
                run(job, Options())
            assert ledger.received == 0
        free(repeat(LEAST_BYTES))
        assert run(job, Options()).completed == ROWS
        free(repeat(0))
        assert run(job, Options()).completed == ROWS
        assert ledger.received == ROWS


def test_what_was_sent_before_the_disk_is_full_is_kept(free: Any) -> None:
    """Nothing is bought twice: the answers in flight are written, and then the run stops."""
    with serving(Settings(latency_s=0.05)) as (base_url, ledger):
        job = job_at(base_url)
        free(chain([LEAST_BYTES] * 2, repeat(LEAST_BYTES - 1)))
        with pytest.raises(RunDirectoryError, match=r"^out: less than 8 MiB are free"):
            run(job, Options())
        kept = pq.read_table("out/results.parquet").num_rows
        assert 0 < kept == ledger.answered < ROWS
        free(repeat(LEAST_BYTES))
        assert run(job, Options()).completed == ROWS
        assert ledger.answered == ROWS
