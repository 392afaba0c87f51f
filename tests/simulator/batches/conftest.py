"""A client of files and batches."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from harness.later import Later

from batchrun.simulator import Settings, serve

openai = Later("openai")


MODEL = "meta-llama/Llama-3.1-8B-Instruct"
PATH = "/v1/chat/completions"


class Batches:
    """The official client, and what tests do with it again and again."""

    def __init__(self, client: Any, server: Any) -> None:
        self.client, self.server = client, server

    async def upload(self, *lines: bytes) -> str:
        file = await self.client.files.create(file=("in.jsonl", b"\n".join(lines)), purpose="batch")
        return file.id

    async def create(self, *lines: bytes, **more: Any) -> Any:
        file_id = await self.upload(*lines)
        return await self.client.batches.create(input_file_id=file_id, endpoint=PATH, completion_window="24h", **more)

    async def ended(self, batch: Any) -> Any:
        while batch.status not in ("completed", "failed", "expired", "cancelled"):
            await asyncio.sleep(0.01)
            batch = await self.client.batches.retrieve(batch.id)
        return batch

    async def lines(self, file_id: str | None) -> list[Any]:
        if file_id is None:
            return []
        content = await self.client.files.content(file_id)
        return [orjson.loads(line) for line in content.content.splitlines()]


@pytest.fixture
def line() -> Callable[..., bytes]:
    def make(label: str, prompt: str = "Label this.", **body: Any) -> bytes:
        asked = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]} | body
        return orjson.dumps({"custom_id": label, "method": "POST", "url": PATH, "body": asked})

    return make


@pytest.fixture
def batches() -> Callable[..., Any]:
    @asynccontextmanager
    async def connected(**settings: Any):
        async with (
            serve(Settings(**{"latency_s": 0, "batch_validation_s": 0.01} | settings)) as server,
            openai.AsyncOpenAI(base_url=server.base_url, api_key="KEY", max_retries=0) as client,
        ):
            yield Batches(client, server)

    return connected
