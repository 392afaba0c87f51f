"""A server model on a busy machine: it and the client get the processor only now and then, each at its own times."""

import asyncio
import bisect
import random
from collections.abc import Callable

from batchrun.records import Fault, Reply
from harness.endpoints import ANSWER, REJECTED, Endpoint, Latency

_STEP_S = 0.0005
"""What a message takes where nothing waits."""

_LONGEST_S = 600.0


class Processor:
    """When a process runs, and when it waits for the processor."""

    def __init__(self, awake_s: float, asleep_s: float, seed: int) -> None:
        """Draw times that are `awake_s` and `asleep_s` on average, exponentially distributed."""
        chance, now_s = random.Random(seed), 0.0
        self._begins: list[float] = []
        self._ends: list[float] = []
        while now_s < _LONGEST_S:
            now_s += chance.expovariate(1 / awake_s)
            self._begins.append(now_s)
            now_s += chance.expovariate(1 / asleep_s)
            self._ends.append(now_s)

    def runs_s(self, at_s: float) -> float:
        """Return when what is due at a time is done: then, or when the process runs again."""
        index = bisect.bisect_right(self._begins, at_s) - 1
        return max(at_s, self._ends[index]) if index >= 0 else at_s

    async def sleep(self, for_s: float) -> None:
        """Wait so long, and then until the process runs."""
        now_s = asyncio.get_running_loop().time()
        await asyncio.sleep(self.runs_s(now_s + for_s) - now_s)


class BusyEndpoint(Endpoint):
    """A server whose messages lie unread while it or the client waits for the processor."""

    def __init__(
        self, limit: Callable[[float], int], latency: Latency, *, awake_s: float, asleep_s: float, seed: int = 1
    ) -> None:
        """Begin; see `Processor`."""
        super().__init__(limit, latency, seed=seed)
        self._server = Processor(awake_s, asleep_s, seed)
        self._client = Processor(awake_s, asleep_s, seed + 1_000)

    async def _answer(self, body: bytes) -> Reply | Fault:
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        self.received += 1
        await self._server.sleep(_STEP_S)
        if self.in_flight >= self.limit(loop.time()):
            self.rejected += 1
            await self._server.sleep(_STEP_S)
            await self._client.sleep(_STEP_S)
            return Reply(429, {}, REJECTED, loop.time() - sent_s)
        self.accepted += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        latency_s = self.latency(self._chance, self.in_flight, loop.time())
        try:
            await self._server.sleep(latency_s)
        finally:
            self.in_flight -= 1
        self.busy_s += latency_s
        await self._client.sleep(_STEP_S)
        return Reply(200, {}, ANSWER, loop.time() - sent_s)
