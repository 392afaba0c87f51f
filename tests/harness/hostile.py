"""Servers that break the rules, and the real client to test with them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
import uvloop

from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret
from batchrun.records import Fault, Reply
from harness.raw_servers import Behaviour, Visit, answer, completion

KEY = "sk-canary-5f1d2c9b"
OK = answer(completion("first"))
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "o"}}]}\n\n'
TIMEOUT_S = 0.2

T = TypeVar("T")


def opened(base_url: str, *, connections: int = 4, timeout_s: float = 5.0) -> HttpClient:
    return HttpClient(
        base_url,
        Secret(KEY),
        {"OpenAI-Project": "team/project"},
        connections=connections,
        timeout_s=timeout_s,
        connect_timeout_s=timeout_s,
    )


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the event loop that `batchrun run` uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def reply_of(client: HttpClient, prompt: str) -> Reply | Fault:
    """Send until there is a reply, as the pool does: a connection can close at the moment of its reuse."""
    for _ in range(3):
        result = await client.send(ask(prompt))
        if isinstance(result, Reply):
            break
    return result


def ask(prompt: str) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})


def text_of(result: Reply | Fault) -> str:
    assert isinstance(result, Reply), result
    return str(orjson.loads(result.body)["choices"][0]["message"]["content"])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def says(data: bytes) -> Behaviour:
    """Read a request, send bytes, and close the connection."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(data)

    return behave


def says_and_waits(data: bytes) -> Behaviour:
    """Read a request, send bytes, and leave the connection open."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(data)
        await visit.reader.read()

    return behave


def says_for_ever(head: bytes, again: bytes, every_s: float = 0.0) -> Behaviour:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(head)
        await visit.say_for_ever(again, every_s)

    return behave


async def half_closes(visit: Visit) -> None:
    await visit.request()
    await visit.say(answer(completion("first")[:-9], "200 OK", "Content-Length: 5000"))
    visit.writer.write_eof()
    await visit.reader.read()


async def never_reads(visit: Visit) -> None:
    await asyncio.sleep(60)


async def answers_first(visit: Visit) -> None:
    await visit.say(OK)
    await visit.reader.read(1)


async def resets(visit: Visit) -> None:
    await visit.request()
    visit.writer.transport.abort()


def length(*values: object) -> bytes:
    body = completion("first")
    head = "".join(f"Content-Length: {value}\r\n" for value in values)
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n".encode() + body


def packed(body: bytes, encoding: str) -> bytes:
    return answer(body, "200 OK", f"Content-Encoding: {encoding}")
