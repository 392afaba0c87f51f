"""The next place goes to a probe that is due, then to the endpoint that is used least."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pytest
from harness.endpoints import Endpoint, lognormal, refusal
from harness.runs import route, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.places import Places, in_turn
from batchrun.prompts.bundles import joined
from batchrun.records import Fault, Reply, Request


@dataclass
class Claimant:
    name: str
    claimed: int
    use: float
    probe_s: float | None = None
    sent_s: float = 0.0


def names(claimants: Sequence[Claimant], now_s: float = 0.0) -> str:
    return "".join(each.name for each in in_turn(claimants, now_s))


def test_a_probe_that_is_due_comes_first_then_the_least_used() -> None:
    a, b, c = Claimant("a", 6, 0.5, probe_s=3.0), Claimant("b", 2, 0.2), Claimant("c", 3, 0.3)
    assert names([a, b, c]) == "bca"
    assert names([a, b, c], now_s=3.0) == "abc"


def test_among_equals_the_one_comes_first_that_was_sent_nothing_for_the_longest_time() -> None:
    a, b, c = Claimant("a", 0, 0.0, sent_s=2.0), Claimant("b", 0, 0.0, sent_s=1.0), Claimant("c", 0, 0.1, sent_s=0.0)
    assert names([a, b, c]) == "bac"


@pytest.mark.parametrize(("ceiling", "servers"), [(1, 2), (1, 3), (2, 3)])
def test_with_fewer_places_than_endpoints_they_take_turns(ceiling: int, servers: int) -> None:
    """The first of them was given every row."""
    endpoints = {name: watched(seed=seed) for seed, name in enumerate("abc"[:servers])}
    rows = [Request(row, "m", 0, b"", orjson.dumps({"row": row}), None) for row in range(60)]
    run = send_all([route(each, name) for name, each in endpoints.items()], rows, ceiling=ceiling)
    assert len(run.outcomes) == 60
    answered = [len(each.answered_s) for each in endpoints.values()]
    assert max(answered) - min(answered) <= servers, answered


def test_a_place_is_kept_where_places_are_left_or_where_it_is_used_least() -> None:
    a, b = Claimant("a", 3, 0.5), Claimant("b", 2, 0.4)
    places = Places(6, lambda: True)
    places.claimants = [a, b]
    assert not places.may_keep(a, 0.0)
    assert places.may_keep(b, 0.0)
    assert places.may_admit()
    a.claimed = 2
    assert places.may_keep(a, 0.0)
    a.claimed = 4
    assert not places.may_admit()
    without = Places(None, lambda: True)
    without.claimants = [a, b]
    assert without.may_keep(a, 0.0)


def answers_after(endpoint: Endpoint, when_s: float) -> list[float]:
    return [at_s for at_s in endpoint.answered_s if at_s > when_s]  # type: ignore[attr-defined]  # of `Watched`


class Watched(Endpoint):
    """Notes when it answers; away, it refuses connections."""

    away: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answered_s: list[float] = []

    async def _answer(self, body: bytes) -> Reply | Fault:
        now_s = asyncio.get_running_loop().time()
        if self.away[0] <= now_s < self.away[1]:
            await asyncio.sleep(0.001)
            return Fault("connection", "refused", 0.001, was_sent=False)
        reply = await super()._answer(body)
        self.answered_s.append(asyncio.get_running_loop().time())
        return reply


def watched(away: tuple[float, float] = (0.0, 0.0), *, seed: int = 1) -> Watched:
    made = Watched(lambda now_s: 1_000, latency=lognormal(0.2), seed=seed)
    made.away = away
    return made


@pytest.mark.parametrize("own", [6, 1_000])
@pytest.mark.parametrize("away", [(0.0, 3.0), (4.0, 7.0)])
def test_an_endpoint_that_was_away_gets_its_share_of_the_common_places_again(
    away: tuple[float, float], own: int
) -> None:
    """Within two seconds, though the other keeps all of them busy; also where it comes up late. The ceiling holds."""
    gone, other = watched(away), watched(seed=2)
    servers = {"a": gone, "b": other}
    run = send_all([route(each, name, limit=Limit(own)) for name, each in servers.items()], 400, ceiling=6)
    assert len(run.outcomes) == 400
    assert max(run.flights) == 6
    back_s = away[1] + 2
    shares = [len(answers_after(each, back_s)) for each in servers.values()]
    assert sum(shares) > 50
    assert min(shares) >= 0.35 * sum(shares), shares


def test_a_bad_row_of_a_bundle_does_not_cost_an_endpoint_its_share() -> None:
    """It is found by halving, while the other endpoint takes every place."""

    def bundle(rows: range) -> Request:
        bodies = [orjson.dumps({"model": "m", "input": f"text {row}"}) for row in rows]
        return joined(
            [Request(row, "m", 0, b"", body, None, "embeddings") for row, body in zip(rows, bodies, strict=True)]
        )

    bad = b'text 3"'
    servers = {}
    for name in "ab":
        servers[name] = Bundled(lambda now_s: 1_000, latency=lognormal(0.2), seed=len(servers))
        servers[name].trouble = lambda now_s, body: refusal(400, "bad input") if bad in body else None
    canary = lambda model, is_bare: Request(-1, model, 0, b"", b'{"input": "c"}', None, "embeddings")  # noqa: E731
    routes = [route(each, name, join=joined, canary=canary) for name, each in servers.items()]
    run = send_all(routes, [bundle(range(start, start + 8)) for start in range(0, 1_600, 8)], ceiling=4)
    assert len(run.outcomes) == 1_600
    assert [each.row for each in run.failed] == [3]
    received = [each.received for each in servers.values()]
    assert min(received) >= 0.4 * sum(received), received


class Bundled(Endpoint):
    """Embeds texts."""

    async def _answer(self, body: bytes) -> Reply | Fault:
        reply = await super()._answer(body)
        if isinstance(reply, Fault) or not reply.is_success:
            return reply
        texts = orjson.loads(body)["input"]
        data = [{"index": at, "embedding": [1.0]} for at in range(len(texts) if isinstance(texts, list) else 1)]
        usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
        return reply._replace(body=orjson.dumps({"object": "list", "data": data, "usage": usage}))
