"""How short runs use an endpoint's slots: the start and the tail decide. The real pool on a virtual clock, no noise.

A run has as many rows as its endpoint gives answers in 30 turns of all its slots. It is compared with the same run by a
controller that knows the limit from the start and is never rejected, at the same latencies.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean

from benchmarks.figures import Figure
from benchmarks.limits import Oracle, Scenario, ours
from benchmarks.sizes import Sizes
from harness.endpoints import Endpoint, Latency, lognormal
from harness.runs import send_all

from batchrun.endpoint.pool.slots import Slots
from batchrun.records import Fault, Reply, RequestKind

TURNS = 30
"""Answers in each slot."""

TAIL = 0.02
"""Share of the time that is the tail."""

SLOTS = (8, 20, 50, 200)

SEEDS = (1, 2, 3)


def constant(latency_s: float = 0.5) -> Latency:
    """Return the same latency for each answer."""
    return lambda chance, busy, now_s: latency_s


def solutions(chance: Random, busy: int, now_s: float) -> float:
    """Return the latency of an answer to GSM8K: a first token, then as many as its solutions have (σ of the log 0.48).

    Its 1,319 test questions have solutions of about 84 tokens in the median; models write about twice as many, at 60 a
    second.
    """
    return 0.3 + 2.5 * chance.lognormvariate(0, 0.48)


LATENCIES: dict[str, Latency] = {"constant": constant(), "log-normal": lognormal(), "GSM8K": solutions}


class Watched(Endpoint):
    """An endpoint that notes when each answer began and ended."""

    spans: list[tuple[float, float]]

    async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
        """Make one attempt."""
        began_s = asyncio.get_running_loop().time()
        result = await super().send(body, kind)
        if isinstance(result, Reply) and result.is_success:
            self.spans.append((began_s, asyncio.get_running_loop().time()))
        return result


@dataclass(frozen=True)
class Use:
    """How one run used the slots."""

    took_s: float
    rejected: float
    """Share of the requests."""
    tail: float
    """Share of the slots' time that was used in the tail."""


def use_of(slots: int, latency: Latency, limit: Callable[[Scenario], Slots], seed: int) -> Use:
    """Return how a run uses so many slots under a limit."""
    scenario = Scenario("short", lambda now_s: slots, slots * TURNS, latency)
    endpoint = Watched(scenario.limit, latency, seed=seed)
    endpoint.spans = []
    run = send_all(endpoint, scenario.rows, limit=limit(scenario), seed=seed)
    assert len(run.outcomes) == scenario.rows
    tail_s = TAIL * run.ended_s
    return Use(
        run.ended_s,
        endpoint.rejected / endpoint.received,
        _used_s(endpoint.spans, run.ended_s - tail_s, run.ended_s) / (slots * tail_s),
    )


def _used_s(spans: list[tuple[float, float]], first_s: float, end_s: float) -> float:
    return sum(max(0.0, min(ended_s, end_s) - max(began_s, first_s)) for began_s, ended_s in spans)


def measure(sizes: Sizes, scratch: Path) -> list[Figure]:
    """Return the figures of runs at several limits, and of their tails apart; `scratch` is not needed."""
    figures = []
    for slots in (each for each in SLOTS if each <= sizes.most_slots):
        for name, latency in LATENCIES.items():
            our = [use_of(slots, latency, ours, seed) for seed in SEEDS]
            its = [use_of(slots, latency, Oracle, seed) for seed in SEEDS]
            run = f"{slots} slots, {name}"
            ratio = sum(use.took_s for use in its) / sum(use.took_s for use in our)
            figures += [
                Figure(f"{run}: oracle's time over ours", ratio, at_least=0.97),
                Figure(f"{run}: rejected", 100 * fmean(use.rejected for use in our), "%"),
                Figure(f"{run}: slots used in the tail", fmean(use.tail for use in our)),
                Figure(f"{run}: used by the oracle in its tail", fmean(use.tail for use in its)),
            ]
    return figures
