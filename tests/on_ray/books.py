"""An endpoint that notes who sent what: by the address of the machine, and whether it was answered when that died.

It bills every answer, also one that nobody is left to receive.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import orjson
from aiohttp import web

NEVER_S = float("inf")


@dataclass
class Bought:
    """One request."""

    prompt: str
    peer: str
    received_s: float
    """On the monotonic clock."""
    answered_s: float = NEVER_S


@dataclass
class Books:
    """All requests of an endpoint."""

    slots: int
    """Requests above that are rejected."""
    latency_s: tuple[float, float]
    """The shortest and the longest."""
    requests: list[Bought] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """The headers `Authorization` that were sent."""
    in_flight: int = 0
    peak: int = 0
    rejected: int = 0
    base_url: str = ""
    name: str = ""
    """Stands before each answer."""

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return sum(each.answered_s < NEVER_S for each in self.requests)

    def in_flight_at(self, at_s: float, peer: str | None = None) -> list[Bought]:
        """Return the requests, of one machine or of all, that were not answered at a time."""
        return [
            each for each in self.requests if each.received_s <= at_s < each.answered_s and peer in (None, each.peer)
        ]

    def recent_at(self, at_s: float, within_s: float, peer: str | None = None) -> list[Bought]:
        """Return the requests that were answered shortly before a time."""
        return [
            each for each in self.requests if at_s - within_s <= each.answered_s <= at_s and peer in (None, each.peer)
        ]

    @property
    def again(self) -> list[Bought]:
        """The requests whose prompt was bought again later."""
        by_prompt = defaultdict(list)
        for each in self.requests:
            by_prompt[each.prompt].append(each)
        return [each for bought in by_prompt.values() for each in bought[:-1]]


async def _answer(books: Books, request: web.Request) -> web.Response:
    books.keys.add(request.headers.get("Authorization", ""))
    asked = orjson.loads(await request.read())
    if books.in_flight >= books.slots:
        books.rejected += 1
        error = {"error": {"message": "too many requests at once", "type": "rate_limit_error", "code": "concurrency"}}
        return web.json_response(error, status=429)
    books.requests.append(bought := Bought(asked["messages"][-1]["content"], str(request.remote), time.monotonic()))
    books.in_flight += 1
    books.peak = max(books.peak, books.in_flight)
    await asyncio.sleep(random.uniform(*books.latency_s))
    books.in_flight -= 1
    bought.answered_s = time.monotonic()
    message = {"role": "assistant", "content": f"{books.name}{bought.prompt}"}
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": asked["model"]}
    return web.json_response({**head, "choices": choices, "usage": usage})


@contextlib.contextmanager
def keeping(books: Books, host: str = "127.0.0.1", port: int = 0) -> Iterator[Books]:
    """Serve at an address of this machine, in a thread."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", partial(_answer, books))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        books.base_url = f"http://{host}:{runner.addresses[0][1]}/v1"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10), "the endpoint does not start"
        yield books
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
