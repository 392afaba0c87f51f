"""The caps of a job as the pool keeps them."""

import asyncio
from dataclasses import replace
from datetime import date
from functools import reduce
from math import inf
from pathlib import Path

import orjson
import pytest
from harness.clock import run_virtually
from harness.prompts import write_prompts

from batchrun.endpoint.pool.budget import NOTHING_USED, Amount
from batchrun.endpoint.pool.gate import gates_of
from batchrun.engine.caps import budget_of, cap_usd_of, rates_of
from batchrun.engine.preflight.check import check
from batchrun.engine.runner import run
from batchrun.errors import JobError
from batchrun.job.sections import Input, Job, Limits, Model, Output
from batchrun.prompts.bundles import joined
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


def test_a_bundle_counts_as_what_is_in_it() -> None:
    """Its tokens, those expected and the most that it can use, are the sums over its requests."""
    alone = [
        replace_body(Request(row, "m", 0, b"", b"", None, "embeddings"), input="x" * 50 * row) for row in range(1, 5)
    ]
    together = joined(alone)
    job = Job(input=Input(path=("in.jsonl",)), limits=Limits(tokens_per_minute=60_000, max_tokens_total=100_000))
    rates = rates_of(job)[""]
    assert rates.expected_tokens(together) == sum(map(rates.expected_tokens, alone))
    budget = budget_of(job, NOTHING_USED, simulated=False)
    assert budget is not None
    found = [budget.reserve(each) for each in (together, *alone)]
    assert found[0] == reduce(Amount.plus, filter(None, found[1:]))


def replace_body(request: Request, **asked: object) -> Request:
    return request._replace(body=orjson.dumps({"model": request.model} | asked))


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
