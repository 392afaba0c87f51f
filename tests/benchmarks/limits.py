"""How well the limit is found and held, compared with a controller that knows the limit and with AIMD.

Each scenario is a model of a server on a virtual clock, driven by the real pool. `python tests/benchmarks/limits.py`
"""

import bisect
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.endpoints import Endpoint, Latency, Trouble, lognormal, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.silence import SilentGrowth
from batchrun.records import Reply

Level = Callable[[float], int]

CEILING = 5_000

MEAN_S = 0.5 * math.exp(0.35**2 / 2)
"""Mean of the log-normal latencies."""


def steps(*levels: tuple[float, int]) -> Level:
    """Return a limit that changes to each of `levels` at its time."""
    times = [at_s for at_s, _ in levels]
    return lambda now_s: levels[bisect.bisect_right(times, now_s) - 1][1]


def noise(most: int, every_s: float, seed: int = 3) -> Level:
    """Return a neighbour that takes a random number of slots up to `most`, a new number every `every_s`."""
    return lambda now_s: random.Random(seed * 1_000_003 + int(now_s / every_s)).randint(0, most)


def queued(latency: Latency, slots: int) -> Latency:
    """Return the latencies of a server that rejects nothing: above its slots they grow with the requests in flight."""
    return lambda chance, busy, now_s: latency(chance, busy, now_s) * max(1.0, busy / slots)


def per_minute(requests: int) -> Trouble:
    """Return a rate limit as OpenAI describes it: a bucket for one second, refilled continuously."""
    level, filled_s, burst = requests / 60, 0.0, requests / 60

    def trouble(now_s: float, body: bytes) -> Reply | None:
        nonlocal level, filled_s
        level = min(burst, level + (now_s - filled_s) * requests / 60)
        filled_s = now_s
        if level >= 1:
            level -= 1
            return None
        wait_s = (1 - level) * 60 / requests
        return refusal(429, "Rate limit reached for requests per min (RPM)", retry_after_ms=str(int(wait_s * 1000) + 1))

    return trouble


def cold(until_s: float) -> Latency:
    """Return the latencies of a server that is starting: requests sent before `until_s` are answered after it."""
    plain = lognormal()
    return lambda chance, busy, now_s: max(0.0, until_s - now_s) + plain(chance, busy, now_s)


@dataclass(frozen=True)
class Scenario:
    """A model of a server, and the number of rows to send to it."""

    name: str
    limit: Level
    rows: int
    latency: Latency = lognormal()
    neighbour: Level = lambda now_s: 0
    queues: bool = False
    """Whether it accepts any number of requests, and serves only as many at the same time as its limit."""
    per_minute: int | None = None
    """Requests per minute that it accepts."""

    def endpoint(self) -> Endpoint:
        """Return a new server."""
        if self.queues:
            return Endpoint(lambda now_s: 10**9, queued(self.latency, self.limit(0.0)))
        trouble = per_minute(self.per_minute) if self.per_minute else lambda now_s, body: None
        return Endpoint(self.limit, self.latency, self.neighbour, trouble)


SCENARIOS = (
    Scenario("limit 1", lambda now_s: 1, 200),
    Scenario("limit 5", lambda now_s: 5, 1_000),
    Scenario("limit 20", lambda now_s: 20, 4_000),
    Scenario("limit 50", lambda now_s: 50, 10_000),
    Scenario("limit 100", lambda now_s: 100, 20_000),
    Scenario("limit 1000", lambda now_s: 1_000, 200_000),
    Scenario("100 → 25 → 150", steps((0, 100), (40, 25), (80, 150)), 18_000),
    Scenario("50 → 5 for 20 s", steps((0, 50), (30, 5), (50, 50)), 10_000),
    Scenario("limit 0 for 20 s", steps((0, 50), (30, 0), (50, 50)), 10_000),
    Scenario("noisy neighbour, 10 s", lambda now_s: 100, 12_000, neighbour=noise(50, 10.0)),
    Scenario("noisy neighbour, 2 s", lambda now_s: 100, 12_000, neighbour=noise(50, 2.0)),
    Scenario("heavy tail", lambda now_s: 50, 10_000, lognormal(0.5, 1.2)),
    Scenario("cold for 20 s", lambda now_s: 50, 10_000, cold(20.0)),
    Scenario("queues beyond 20", lambda now_s: 20, 4_000, queues=True),
    Scenario("600 requests a minute", lambda now_s: 50, 2_000, per_minute=600),
)


def ours(scenario: Scenario) -> Limit:
    """Return the limit of a run at an endpoint that was never asked before."""
    return Limit(CEILING, silence=SilentGrowth(lambda: 0.0))


class Oracle:
    """Knows the free slots at every time."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.ceiling = CEILING
        self._now_s = 0.0

    @property
    def current(self) -> int:
        import asyncio

        now_s = asyncio.get_running_loop().time()
        return max(1, self._scenario.limit(now_s) - self._scenario.neighbour(now_s))

    def completed(self, level: int, latency_s: float, in_flight: int, now_s: float) -> None: ...
    def grow_in_silence(self, now_s: float) -> None: ...
    def break_silence(self) -> None: ...
    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None: ...
    def faltered(self, now_s: float) -> None: ...
    def restore(self, now_s: float) -> None: ...


class Aimd(Oracle):
    """Adds one per round trip, multiplies by `factor` once per episode: what most clients do."""

    def __init__(self, factor: float) -> None:
        self.ceiling = CEILING
        self._factor = factor
        self._level = 8.0
        self._changed_s = 0.0

    @property
    def current(self) -> int:
        return max(1, min(self.ceiling, int(self._level)))

    def completed(self, level: int, latency_s: float, in_flight: int, now_s: float) -> None:
        if in_flight + 1 >= self.current:
            self._level += 1 / self._level

    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None:
        if now_s - delay_s >= self._changed_s:
            self._level = max(1.0, self._level * self._factor)
            self._changed_s = now_s


def free_s(scenario: Scenario, until_s: float, step_s: float = 0.05) -> float:
    """Return the time of all free slots until then."""
    ticks = int(until_s / step_s)
    return step_s * sum(
        max(0, scenario.limit(tick * step_s) - scenario.neighbour(tick * step_s)) for tick in range(ticks)
    )


def measure(scenario: Scenario, limit: object, endpoint: Endpoint | None = None) -> tuple[float, float]:
    """Return the share of the capacity that was used, and the share of requests rejected.

    Capacity is the time of all free slots; for a server that queues, its throughput; for one with a rate, that rate.

    Args:
        scenario: server and rows.
        limit: the controller of the limit.
        endpoint: the scenario's server, for callers that look at it afterwards; a new one unless given.
    """
    endpoint = endpoint or scenario.endpoint()
    run = send_all(endpoint, scenario.rows, limit=limit)
    assert len(run.outcomes) == scenario.rows
    assert not run.failed, run.failed[:3]
    rejected = 1 - endpoint.accepted / endpoint.received
    if scenario.per_minute:
        return scenario.rows / (scenario.per_minute * run.ended_s / 60), rejected
    busy_s = scenario.rows * MEAN_S if scenario.queues else endpoint.busy_s
    return busy_s / free_s(scenario, run.ended_s), rejected


def main() -> None:
    """Print the table."""
    print(f"{'scenario':24} {'oracle':>7} {'ours':>7} {'ratio':>7} {'rejected':>9} {'AIMD ½':>7} {'AIMD .9':>8}")
    for scenario in SCENARIOS:
        oracle, _ = measure(scenario, Oracle(scenario))
        found, rejected = measure(scenario, ours(scenario))
        half, _ = measure(scenario, Aimd(0.5))
        ninth, _ = measure(scenario, Aimd(0.9))
        figures = f"{oracle:7.3f} {found:7.3f} {found / oracle:7.3f} {rejected:9.2%} {half:7.3f} {ninth:8.3f}"
        print(f"{scenario.name:24} {figures}", flush=True)


if __name__ == "__main__":
    main()
