"""All workers together keep the caps of a run, whatever dies."""

import asyncio
import random
from collections.abc import Callable
from math import inf
from typing import Any

import orjson
import pytest
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal

from batchrun.endpoint.pool.budget import Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.till import books_of
from batchrun.prompts.bundles import joined
from batchrun.records import Reply, Request, RequestKind

ANSWER_USD, MOST_USD = 0.005, 0.02
"""What each answer costs, and what it could cost at most."""


def budget(cap_usd: float) -> Budget:
    """Return a budget in which every request may cost four times what it costs."""
    return Budget(
        Amount(cap_usd, inf), Used(), lambda request: Amount(MOST_USD, 0), lambda model, usage: Amount(ANSWER_USD, 0)
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_cap_is_kept_by_all_workers_together(seed: int) -> None:
    """With deaths: what a dead worker may have spent is set aside. 100 seeds were tried."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3))
    cluster = Cluster(endpoint, seed=seed, budget=budget, cap_usd=5.0)

    async def deaths(cluster: Cluster, driver: Driver) -> None:
        chance = random.Random(seed)
        for _ in range(seed % 4):
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            worker = cluster.workers[chance.randrange(4)]
            if worker.worker is not None and not worker.is_cut_off:
                await worker.die(noticed_s=chance.uniform(0.1, 3.0))

    stop = cluster.run(2_000, meanwhile=deaths)
    assert stop is not None
    assert stop.kind == "cost_cap"
    assert "the cost cap of 5 USD leaves no room for another request" in stop.message
    assert endpoint.accepted * ANSWER_USD <= 5.0
    assert cluster.account is not None
    assert endpoint.accepted * ANSWER_USD - 1e-9 <= cluster.account.owed.usd <= 5.0 + 1e-9
    deaths_usd = cluster.driver.lost * 2 * 40 * MOST_USD
    assert len(cluster.outcomes) * ANSWER_USD >= 5.0 - MOST_USD - deaths_usd


def tokens(cap: float) -> Budget:
    """Return a budget of tokens: each row of a request uses ten."""
    return Budget(
        Amount(inf, int(cap)),
        Used(),
        lambda request: Amount(0.0, 10 * len(request.rows)),
        lambda model, usage: Amount(0.0, usage.total_tokens or 0),
    )


class Texts:
    """An endpoint that embeds texts, several in a request."""

    def __init__(self) -> None:
        self.received = self.texts = 0

    async def send(self, body: bytes, kind: RequestKind) -> Reply:
        """Answer after 0.3 s."""
        self.received += 1
        asked = orjson.loads(body)["input"]
        count = len(asked) if isinstance(asked, list) else 1
        await asyncio.sleep(0.3)
        self.texts += count
        data = [{"index": place, "embedding": [1.0]} for place in range(count)]
        usage = {"prompt_tokens": 10 * count, "total_tokens": 10 * count}
        return Reply(200, {}, orjson.dumps({"object": "list", "data": data, "usage": usage}), 0.3)

    def give_up(self, *_: Any) -> bool:
        """Do nothing."""
        return False


def text(row: int) -> Request:
    """Return a request that embeds a text."""
    body = orjson.dumps({"input": f"text {row}", "model": "e"})
    return Request(row, "e", 0, row.to_bytes(8, "big"), body, None, "embeddings")


def text_rows(texts: int, together: int) -> list[Request]:
    """Return requests that embed texts, so many in a bundle."""
    rows = [text(row) for row in range(texts)]
    return [joined(rows[start : start + together]) for start in range(0, texts, together)]


@pytest.mark.parametrize(("cap", "done"), [(12_800, 1_280), (10, 1), (9, 0)])
def test_a_cap_on_tokens_is_kept_and_used(cap: int, done: int) -> None:
    """Also before anything has answered: a worker lacks tokens then, and the driver has them."""
    endpoint = Texts()
    cluster = Cluster(endpoint, budget=tokens, cap_usd=cap)
    stop = cluster.run(text_rows(2_000, 1))
    assert stop is not None
    assert (stop.kind, stop.exit_code) == ("token_cap", 5)
    assert "can use up to 10 tokens" in stop.message
    assert len(cluster.outcomes) == endpoint.texts == done


@pytest.mark.parametrize(("cap", "rows"), [(2_560, 256), (2_550, 255), (210, 21), (10, 1), (9, 0)])
def test_what_a_cap_leaves_is_used_by_smaller_bundles(cap: int, rows: int) -> None:
    """As in one process: bundles of 64 rows are halved, down to a row alone, where nobody has enough for one."""
    endpoint = Texts()
    cluster = Cluster(endpoint, budget=tokens, cap_usd=cap, join=joined)
    stop = cluster.run(text_rows(1_280, 64))
    assert stop is not None
    assert (stop.kind, stop.exit_code) == ("token_cap", 5)
    assert "can use up to 10 tokens" in stop.message
    assert sorted(outcome.row for outcome in cluster.outcomes) == sorted({each.row for each in cluster.outcomes})
    assert len(cluster.outcomes) == endpoint.texts == rows
    assert endpoint.received <= 4 + 7
    assert cluster.ended_s < 12
    assert cluster.noted == 0


def uneven(chance: random.Random) -> Callable[[float], Budget]:
    """Return what makes budgets: every request may cost another amount, and answers cost up to five times that."""

    def budget(cap_usd: float) -> Budget:
        return Budget(
            Amount(cap_usd, inf),
            Used(),
            lambda request: Amount(0.08 + 0.0003 * (request.row * 7919 % 100), 0),
            lambda model, usage: Amount(chance.uniform(0.02, 0.4), 0),
        )

    return budget


@pytest.mark.parametrize("seed", range(10))
def test_the_last_of_a_cap_is_spent_and_then_the_run_ends(seed: int) -> None:
    """Near the cap each worker has too little for its next request, and each lacks another amount."""
    endpoint = Endpoint(lambda now_s: 16, lognormal(0.45))
    cluster = Cluster(endpoint, seed=seed, budget=uneven(random.Random(seed)), cap_usd=30.0, lag_s=0.02)
    stop = cluster.run(2_000, workers=3, limit=lambda strides: Limit(40, strides=strides))
    assert stop is not None
    assert (stop.kind, stop.exit_code) == ("cost_cap", 5)
    assert cluster.account is not None
    assert 30.0 - cluster.account.owed.usd < cluster.account.refused.usd
    assert cluster.ended_s < 12
    assert cluster.noted == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_asks_for_more_while_its_requests_are_in_flight(seed: int) -> None:
    """Else it would send one after the other: each answer frees what the next request needs."""
    times = []
    for of in (None, uneven(random.Random(seed))):
        endpoint = Endpoint(lambda now_s: 16, lognormal(0.45))
        cluster = Cluster(endpoint, seed=seed, budget=of, cap_usd=1_000.0, lag_s=0.02)
        assert cluster.run(200, workers=3, limit=lambda strides: Limit(40, strides=strides)) is None
        times.append(cluster.ended_s)
    assert times[1] <= 1.1 * times[0]


def test_a_cap_that_is_large_enough_costs_no_time() -> None:
    """Workers are given more before they need it."""
    times = []
    for of in (None, budget):
        cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)), budget=of, cap_usd=1_000.0)
        assert cluster.run(2_000) is None
        times.append(cluster.ended_s)
    assert times[1] <= 1.03 * times[0]


def test_what_a_request_lacks_at_one_endpoint_is_in_the_workers_word() -> None:
    """Its budget there has other prices; without a word of what it lacks, a worker is given nothing."""
    budget = Budget(Amount(1.0, 100), Used(), lambda request: Amount(), lambda model, usage: Amount())
    budget.at(lambda request: Amount(), lambda model, usage: Amount(), lambda model, usage: Amount()).refuse(
        Amount(0.5, 7), lacks_tokens=False
    )
    assert books_of(budget, is_broke=True, can_part=False).wants == Amount(0.5, 7)
