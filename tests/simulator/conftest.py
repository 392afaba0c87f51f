"""A client of the simulator that shows each reply unchanged, or the name of the exception."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from batchrun.simulator import Settings, Simulator, serve

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])

    @property
    def content(self) -> Any:
        return self.json["choices"][0]["message"]["content"]

    @property
    def events(self) -> list[Any]:
        data = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [event if event == "[DONE]" else orjson.loads(event) for event in data]


@dataclass
class Client:
    server: Simulator
    session: aiohttp.ClientSession

    async def ask(self, prompt: str = "Label this.", *, headers: Any = None, **body: Any) -> Reply:
        body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]} | body
        return await self.post("/v1/chat/completions", orjson.dumps(body), headers=headers)

    async def post(self, path: str, raw: bytes, *, headers: Any = None) -> Reply:
        url = self.server.base_url.removesuffix("/v1") + path
        headers = {"Authorization": "Bearer any"} | (headers or {})
        async with self.session.post(url, data=io.BytesIO(raw), headers=headers, allow_redirects=False) as reply:
            return Reply(reply.status, dict(reply.headers), await reply.read())

    async def get(self, path: str, *, headers: Any = None) -> Reply:
        url = self.server.base_url.removesuffix("/v1") + path
        async with self.session.get(url, headers=headers) as reply:
            return Reply(reply.status, dict(reply.headers), await reply.read())


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
def connect() -> Connect:
    @asynccontextmanager
    async def connected(**settings: Any) -> AsyncIterator[Client]:
        settings = {"latency_s": 0.0} | settings
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=20)
        async with (
            serve(Settings(**settings)) as server,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        ):
            yield Client(server, session)

    return connected
