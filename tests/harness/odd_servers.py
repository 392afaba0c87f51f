"""Servers of any character, generated from a seed, on the virtual clock.

The seed decides how a server words and shapes its errors, which rows it refuses, rejects or breaks at, when it is away,
and whether it refuses everything from some moment.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ForLimit
from batchrun.records import Fault, Reply, RequestKind
from harness.endpoints import ANSWER, REJECTED

Result = Reply | Fault
Maker = Callable[[], Result]

WORDS = [
    "no",
    "",
    "The model `m` does not exist",
    "Your credit balance is too low",
    "You exceeded your current quota, please check your plan and billing details",
    "Unsupported parameter: 'max_tokens'",
    "maximum context length is 4096 tokens",
    "flagged by the content filter",
    "Please try again later",
    "Incorrect API key provided",
    "rate limit exceeded on tokens per minute",
    "too many concurrent requests",
    "request 8f3a9c12 failed: unexpected 'thing' at line 17",
    "您的账户已欠费",
    "x" * 3_000,
]
SHAPES: list[Callable[[str, Any], Any]] = [
    lambda words, code: {"error": {"message": words, "code": code}},
    lambda words, code: {"error": words},
    lambda words, code: {"detail": [{"msg": words, "type": str(code)}]},
    lambda words, code: [{"error": {"message": words, "details": [{"retryDelay": "2s"}]}}],
    lambda words, code: {"msg": words, "code": code},
    lambda words, code: {"error": {"message": "Provider returned error", "metadata": {"raw": words}}},
    lambda words, code: {"errors": [{"message": words}], "status": code},
    lambda words, code: words,
    lambda words, code: None,
]
CODES = [None, 400, "429", "insufficient_quota", "context_length_exceeded", "tokens", "1113", "json_validate_failed"]
HEADERS: list[dict[str, str]] = [{}, {}, {}, {"retry-after": "3"}, {"retry-after-ms": "90"}, {"retry-after": "never"}]
REFUSED = [400, 401, 402, 403, 404, 405, 413, 418, 422, 451]
AWAY: list[Maker] = [
    lambda: Fault("connection", "refused", 0.001, was_sent=False),
    lambda: Fault("timeout", "silence", 5.0),
    lambda: Reply(503, {}, b"<html>busy</html>", 0.01),
    lambda: Reply(500, {}, b"", 0.01),
    lambda: Reply(502, {}, b"Bad Gateway", 0.01),
    lambda: Reply(429, {}, REJECTED, 0.005),
]


class OddServer:
    """One server, made from a seed."""

    def __init__(self, seed: int, rows: int | None = None) -> None:
        chance = self._chance = random.Random(seed)
        self.rows = chance.choice([1, 2, 9, 40, 200])
        if rows is not None:
            self.rows = rows
        self.odd: dict[bytes, tuple[str, Maker]] = {}
        self.replies: Counter[bytes] = Counter()
        self.answered: set[bytes] = set()
        self._slots, self._in_flight = chance.choice([1, 4, 30]), 0
        self._flaky = chance.choice([0.0, 0.0, 0.05])
        for _ in range(chance.choice([0, 0, 1, 3, 12])):
            self.odd[b"row-%d" % chance.randrange(self.rows)] = chance.choice(
                [("refused", self._refusal()), ("rejected", self._error(429)), ("broken", self._error(500))]
            )
        begins_s = chance.uniform(0, 20)
        self._away = [(begins_s, begins_s + chance.choice([0.3, 7, 60]), chance.choice(AWAY))]
        self._away = self._away * chance.choice([0, 1])
        self.ends_s = chance.choice([None, None, 0.0, chance.uniform(1, 10)])
        self._ended = self._refusal()
        if chance.random() < 0.2:
            self.odd[b"row-%d" % chance.randrange(self.rows)] = ("deadly", lambda: Fault("connection", "cut", 0.01))
        self._down_s, self._down_until_s = chance.choice([2.0, 30.0]), 0.0

    @property
    def is_calm(self) -> bool:
        """Whether it fails only at what it refuses or rejects."""
        is_deadly = any(kind == "deadly" for kind, _ in self.odd.values())
        return not (self._away or self._flaky or is_deadly)

    def _error(self, status: int) -> Maker:
        """Return what makes an error that is worded alike each time."""
        shape, words = self._chance.choice(SHAPES), self._chance.choice(WORDS)
        code, headers = self._chance.choice(CODES), self._chance.choice(HEADERS)
        made = shape(words, code)
        body = made.encode() if isinstance(made, str) else orjson.dumps(made)
        return lambda: Reply(status, headers, body, 0.01)

    def _refusal(self) -> Maker:
        """Return what makes a refusal: not a limit or an outage, which may come under any status."""
        while True:
            made = self._error(self._chance.choice(REFUSED))
            if EFFECTS[judge(made()).kind or ""].limit is ForLimit.NOTHING:
                return made

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Result:
        """Make one attempt."""
        now_s = asyncio.get_running_loop().time()
        self.replies[body] += 1
        result = self._trouble(body, now_s)
        if result is not None:
            await asyncio.sleep(result.latency_s)
            return result
        if self._in_flight >= self._slots:
            await asyncio.sleep(0.005)
            return Reply(429, {}, REJECTED, 0.005)
        self._in_flight += 1
        latency_s = self._chance.uniform(0.2, 1.5)
        await asyncio.sleep(latency_s)
        self._in_flight -= 1
        self.answered.add(body)
        return Reply(200, {}, ANSWER, latency_s)

    def give_up(self, attempt: "asyncio.Task[None]", silent_s: float) -> bool:
        """End nothing: each attempt ends soon."""
        return False

    def _trouble(self, body: bytes, now_s: float) -> Result | None:
        for begins_s, ends_s, away in self._away:
            if begins_s <= now_s < ends_s:
                return away()
        if self.ends_s is not None and now_s >= self.ends_s:
            return self._ended()
        if now_s < self._down_until_s:
            return Fault("connection", "refused", 0.001, was_sent=False)
        if body in self.odd:
            if self.odd[body][0] == "deadly":
                self._down_until_s = now_s + self._down_s
            return self.odd[body][1]()
        return Reply(500, {}, b"chance", 0.1) if self._chance.random() < self._flaky else None
