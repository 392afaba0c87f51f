"""The caps of a job as the pool keeps them."""

import asyncio
from dataclasses import replace
from datetime import date
from math import inf
from pathlib import Path

import orjson
import pytest
from harness.clock import run_virtually
from harness.prompts import write_prompts

from batchrun.endpoint.pool.gate import gates_of
from batchrun.engine.caps import cap_usd_of, rates_of
from batchrun.engine.preflight.check import check
from batchrun.engine.runner import run
from batchrun.errors import JobError
from batchrun.job.sections import Input, Job, Limits, Model, Output
from batchrun.prompts.source import Source
from batchrun.records import Request


def request(content: object) -> Request:
    body = orjson.dumps({"messages": [{"role": "user", "content": content}]})
    return Request(row=0, model="m", sample=0, key=b"", body=body, custom_id=None)


def test_photos_count_as_images_under_a_token_rate() -> None:
    """Sixty photos of a megabyte leave within a minute at 60,000 tokens a minute; as text they would take six hours."""
    image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 1_400_000}}
    photo = request([{"type": "text", "text": "What is it?"}, image])
    rates = rates_of(Job(input=Input(path=("in.jsonl",)), limits=Limits(tokens_per_minute=60_000)))[""]

    async def send_all() -> float:
        (gate,) = gates_of([rates])
        assert gate is not None
        for _ in range(60):
            await gate.wait(photo)
            rates.learn(photo, 800)
        return asyncio.get_running_loop().time()

    assert 30 < run_virtually(send_all()) < 60


CAPPED = Job(input=Input(path=("in.jsonl",)), model=Model(names=("gpt-9",)), limits=Limits(max_cost_usd=1.0))


def test_a_cap_on_a_model_without_a_price_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a mistake in the job, and the message names the section with the price."""
    monkeypatch.chdir(tmp_path)
    write_prompts("a")
    job = replace(CAPPED, output=Output(dir="out"))
    with pytest.raises(JobError, match=r"the price of gpt-9 is not known; add .*\[prices.\"gpt-9\"\]") as problem:
        run(job)
    assert problem.value.exit_code == 2
    assert not Path("out").exists()
    with Source(job) as source:
        source.open()
        report = check(job, source, today=date(2026, 11, 21), on_read=lambda fraction: None)
    assert report.refusal == str(problem.value)


def test_a_simulated_run_needs_no_price_for_its_cap() -> None:
    assert cap_usd_of(CAPPED, simulated=True) == inf
