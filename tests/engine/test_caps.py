"""The caps of a job as the pool keeps them."""

import asyncio

import orjson
from harness.clock import run_virtually

from batchrun.endpoint.pool.gate import Gate
from batchrun.engine.caps import rates_of
from batchrun.job.sections import Input, Job, Limits
from batchrun.records import Request


def request(content: object) -> Request:
    body = orjson.dumps({"messages": [{"role": "user", "content": content}]})
    return Request(row=0, model="m", sample=0, key=b"", body=body, custom_id=None)


def test_photos_count_as_images_under_a_token_rate() -> None:
    """Sixty photos of a megabyte leave within a minute at 60,000 tokens a minute; as text they would take six hours."""
    image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 1_400_000}}
    photo = request([{"type": "text", "text": "What is it?"}, image])
    rates = rates_of(Job(input=Input(path=("in.jsonl",)), limits=Limits(tokens_per_minute=60_000)))

    async def send_all() -> float:
        gate = Gate(rates)
        for _ in range(60):
            await gate.wait(photo)
            rates.learn(photo, 800)
        return asyncio.get_running_loop().time()

    assert 30 < run_virtually(send_all()) < 60
