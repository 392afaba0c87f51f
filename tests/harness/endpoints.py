"""A server model on a virtual clock: a moving limit, neighbours, outages, latency. It replaces the client.

It measures how well its slots are used: the time for which they were used, and the time for which they were free.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from batchrun.records import Fault, Reply, RequestKind

ANSWER = orjson.dumps(
    {
        "id": "a",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
)
REJECTED = b'{"error": {"message": "Concurrency limit reached for requests", "code": "429"}}'
REJECTION_S = 0.005
"""Time until a rejection arrives."""

Latency = Callable[[random.Random, int, float], float]
"""Random generator, requests being served, and time → latency in seconds."""
Trouble = Callable[[float, bytes], Reply | Fault | None]


def lognormal(median_s: float = 0.5, sigma: float = 0.35) -> Latency:
    """Return latencies with a log-normal distribution."""
    return lambda chance, busy, now_s: median_s * chance.lognormvariate(0, sigma)


def refusal(status: int, message: str = "", **headers: str) -> Reply:
    """Return an error in the words of the endpoint."""
    body = orjson.dumps({"error": {"message": message}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, body, REJECTION_S)


@dataclass
class Endpoint:
    """The server model.

    `limit` and `neighbour` return, for a time, how many requests the project may have in flight and how many of these a
    colleague uses. `trouble` may return an answer instead of the server; None means that the server answers.
    """

    limit: Callable[[float], int]
    latency: Latency = field(default_factory=lognormal)
    neighbour: Callable[[float], int] = lambda now_s: 0
    trouble: Trouble = lambda now_s, body: None
    seed: int = 1

    received: int = 0
    rejected: int = 0
    accepted: int = 0
    in_flight: int = 0
    peak: int = 0
    sent: int = 0
    """Requests in flight, including rejected ones."""
    peak_sent: int = 0
    busy_s: float = 0.0
    last_answer_s: float = 0.0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._began_s: dict[asyncio.Task[None], float] = {}
        self._given_up: set[asyncio.Task[None]] = set()

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
        """Make one attempt."""
        self.sent += 1
        self.peak_sent = max(self.peak_sent, self.sent)
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # runs in one
        began_s = self._began_s[task] = asyncio.get_running_loop().time()
        try:
            return await self._answer(body)
        except asyncio.CancelledError:
            if task not in self._given_up:
                raise
            self._given_up.remove(task)
            task.uncancel()
            return Fault("timeout", "no answer in time", asyncio.get_running_loop().time() - began_s)
        finally:
            self.sent -= 1
            del self._began_s[task]

    def give_up(self, attempt: "asyncio.Task[None]", silent_s: float) -> bool:
        """End an attempt that is silent for so long: no answer comes in pieces."""
        if asyncio.get_running_loop().time() - self._began_s[attempt] < silent_s:
            return False
        self._given_up.add(attempt)
        attempt.cancel()
        return True

    async def _answer(self, body: bytes) -> Reply | Fault:
        loop = asyncio.get_running_loop()
        self.received += 1
        answer = self.trouble(loop.time(), body)
        if answer is not None:
            await asyncio.sleep(answer.latency_s)
            return answer
        if self.in_flight + self.neighbour(loop.time()) >= self.limit(loop.time()):
            self.rejected += 1
            await asyncio.sleep(REJECTION_S)
            return Reply(429, {}, REJECTED, REJECTION_S)
        self.accepted += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        latency_s = self.latency(self._chance, self.in_flight, loop.time())
        try:
            await asyncio.sleep(latency_s)
        finally:
            self.in_flight -= 1
        self.busy_s += latency_s
        self.last_answer_s = loop.time()
        return Reply(200, {}, ANSWER, latency_s)


class Faults:
    """Makes a share of all attempts fail, with all kinds equally often."""

    def __init__(self, share: float, *results: Reply | Fault, seed: int = 3) -> None:
        self._share, self._results, self._chance = share, results, random.Random(seed)

    def __call__(self, now_s: float, body: bytes) -> Reply | Fault | None:
        draw = self._chance.random() / self._share
        return self._results[int(draw)] if draw < len(self._results) else None
