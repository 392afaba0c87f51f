"""Several endpoints, through the real pool on the virtual clock: each is kept full, and no row is lost or doubled."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from harness.clock import run_virtually
from harness.endpoints import ANSWER, Endpoint, lognormal, refusal
from harness.runs import CANARY, Run, rates_by_bytes, requests, route, send_all

from batchrun.endpoint.pool.budget import Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.rules import Listeners, Policy
from batchrun.records import Attempted, Closed, Fault, GivenUp, Paused, Reply, Request, RequestKind, Resumed


def server(slots: int, median_s: float = 0.5, **settings: object) -> Endpoint:
    return Endpoint(lambda now_s: slots, latency=lognormal(median_s), **settings)  # type: ignore[arg-type]  # passed on


def answered_by(run: Run) -> Counter[str]:
    """Return how many rows each endpoint has answered, if each row was answered once."""
    assert not run.failed
    assert max(Counter((each.row, each.model) for each in run.outcomes).values()) == 1
    return Counter(each.endpoint for each in run.outcomes)


def test_four_servers_of_different_speed_are_each_kept_full_and_each_limit_is_found() -> None:
    """Nothing is configured: 95 % of all their slots' time is used, and at most 1 % of the requests are rejected."""
    slots = {"a": (10, 0.2), "b": (20, 0.4), "c": (40, 0.7), "d": (80, 1.0)}
    servers = {name: server(limit, median_s, seed=limit) for name, (limit, median_s) in slots.items()}
    limits = {name: Limit(1_000) for name in servers}
    run = send_all([route(servers[name], name, limit=limits[name]) for name in servers], 40_000)
    answers = answered_by(run)
    assert sum(answers.values()) == 40_000
    assert answers == {name: each.accepted for name, each in servers.items()}
    used = sum(each.busy_s for each in servers.values()) / (150 * run.ended_s)
    assert used >= 0.95
    assert sum(each.rejected for each in servers.values()) <= 0.01 * 40_000
    for name, (slot_count, _) in slots.items():
        assert slot_count <= limits[name].held <= slot_count + 1, name
        assert servers[name].peak == slot_count


def test_where_there_are_fewer_rows_than_slots_the_endpoint_that_is_used_least_takes_them() -> None:
    """By the share of its slots."""
    servers = {"a": server(100), "b": server(100)}
    limits = {"a": Limit(30, start=30), "b": Limit(10, start=10)}
    run = send_all([route(servers[name], name, limit=limits[name]) for name in servers], 8)
    assert answered_by(run) == {"a": 6, "b": 2}


def test_a_model_goes_only_to_the_endpoints_that_serve_it() -> None:
    """A route without names serves the models that no other names."""
    seen: dict[str, set[str]] = {"a": set(), "b": set(), "c": set()}

    class Noting(Endpoint):
        async def send(self, body: bytes, kind: RequestKind = "chat") -> object:  # type: ignore[override]  # the same
            seen[self.name].add(body.decode().split()[0])  # type: ignore[attr-defined]  # set below
            return await super().send(body, kind)

    routes = []
    for name, models in (("a", {"m": "m", "n": "n"}), ("b", {"n": "n"}), ("c", None)):
        endpoint = Noting(lambda now_s: 20)
        endpoint.name = name  # type: ignore[attr-defined]  # for the notes
        routes.append(route(endpoint, name, serves=models))
    rows = [Request(row, model, 0, b"", b"%s row" % model.encode(), None) for row in range(300) for model in "mnop"]
    run = send_all(routes, rows)
    assert answered_by(run).keys() == {"a", "b", "c"}
    seen["a"].discard("n")  # which has time only when no row of m is left
    assert seen == {"a": {"m"}, "b": {"n"}, "c": {"o", "p"}}


def test_two_models_at_two_providers_do_not_hold_each_other_up() -> None:
    """The fast one is done long before the slow one."""
    servers = {"fast": server(50, 0.1), "slow": server(5, 2.0)}
    routes = [route(servers["fast"], "fast", serves={"m": "m"}), route(servers["slow"], "slow", serves={"n": "n"})]
    rows = [each for pair in zip(requests(2_000), requests(2_000, "n"), strict=True) for each in pair]
    run = send_all(routes, rows)
    assert answered_by(run) == {"fast": 2_000, "slow": 2_000}
    assert servers["fast"].last_answer_s < 0.1 * servers["slow"].last_answer_s
    assert servers["slow"].busy_s / (5 * run.ended_s) > 0.95


class Mortal(Endpoint):
    """A server that is killed at times: what is in flight is cut, and connections are refused until it is back."""

    outages: Sequence[tuple[float, float]] = ()

    async def _answer(self, body: bytes) -> Reply | Fault:
        now_s = asyncio.get_running_loop().time()
        if any(begins_s <= now_s < ends_s for begins_s, ends_s in self.outages):
            await asyncio.sleep(0.001)
            return Fault("connection", "no connection: refused", 0.001, was_sent=False)
        killed_s = min((begins_s for begins_s, _ in self.outages if begins_s > now_s), default=None)
        try:
            async with asyncio.timeout_at(killed_s):
                return await super()._answer(body)
        except TimeoutError:
            return Fault("connection", "cut", asyncio.get_running_loop().time() - now_s)


def mortal(slots: int, *outages: tuple[float, float], seed: int = 1, median_s: float = 0.5) -> Mortal:
    made = Mortal(lambda now_s: slots, latency=lognormal(median_s), seed=seed)
    made.outages = outages
    return made


ONE_ATTEMPT = Policy(max_attempts=1)
"""A row that pays for anything fails."""


def test_a_server_of_two_that_is_killed_costs_only_its_slots() -> None:
    """First one, then the other, for 20 s each: no row is lost, none pays an attempt, and the rest is kept full."""
    servers = {"a": mortal(20, (20, 40)), "b": mortal(20, (60, 80), seed=2)}
    run = send_all([route(each, name, policy=ONE_ATTEMPT) for name, each in servers.items()], 6_400)
    answers = answered_by(run)
    assert sum(answers.values()) == 6_400
    mean_s = sum(each.busy_s for each in servers.values()) / 6_400
    ideal_s = 6_400 * mean_s / 40 + 20
    assert run.ended_s <= 1.1 * ideal_s
    paused = [(event.endpoint, round(event.for_s)) for event in run.events if isinstance(event, Paused)]
    assert [name for name, _ in paused] == ["a", "b"]
    resumed = [event for event in run.events if isinstance(event, Resumed)]
    assert [event.endpoint for event in resumed] == ["a", "b"]
    assert all(20 <= event.after_s <= 23 for event in resumed)


def test_an_endpoint_that_is_away_gets_canaries_and_no_rows() -> None:
    """A row might hang there, although another endpoint would answer it."""
    bodies: list[bytes] = []

    def trouble(now_s: float, body: bytes) -> Reply | None:
        if now_s > 5:
            bodies.append(body)
        return refusal(503, "down") if now_s > 2 else None

    routes = [route(server(20, trouble=trouble), "a", policy=ONE_ATTEMPT), route(server(20), "b", policy=ONE_ATTEMPT)]
    run = send_all(routes, 2_000)
    assert sum(answered_by(run).values()) == 2_000
    assert bodies.count(CANARY) >= 0.85 * len(bodies) > 5  # a row after every eight: it may break at canaries alone


def test_the_end_does_not_wait_for_a_canary_that_hangs() -> None:
    """No row is left that its answer could help."""
    down = {True: Fault("timeout", "no answer in time", 600.0), False: refusal(500)}
    first = server(20, trouble=lambda now_s, body: down[now_s > 2.4] if now_s > 2 else None)
    run = send_all([route(first, "a"), route(server(20), "b")], 1_000)
    assert sum(answered_by(run).values()) == 1_000
    assert run.ended_s < 30


@pytest.mark.parametrize("status", [401, 403, 404, 402])
def test_a_key_that_is_refused_at_one_endpoint_leaves_its_share_to_the_others(status: int) -> None:
    """It is reported with the endpoint's name, no row pays, and the run ends as if there were only the others."""
    refused = server(20, trouble=lambda now_s, body: refusal(status, "no"))
    run = send_all([route(refused, "a", policy=ONE_ATTEMPT), route(server(20), "b", policy=ONE_ATTEMPT)], 500)
    assert answered_by(run) == {"b": 500}
    closed = [event for event in run.events if isinstance(event, Closed)]
    assert [(event.model, event.endpoint) for event in closed] == [("m", "a")]
    assert run.stop is None


def test_a_key_that_is_refused_in_the_middle_leaves_what_was_open_there_to_the_others() -> None:
    """Also what was in flight."""
    refused = server(20, trouble=lambda now_s, body: refusal(401, "revoked") if now_s > 5 else None)
    run = send_all([route(refused, "a", policy=ONE_ATTEMPT), route(server(20), "b", policy=ONE_ATTEMPT)], 3_000)
    assert sum(answered_by(run).values()) == 3_000
    assert [event.endpoint for event in run.events if isinstance(event, Closed)] == ["a"]
    assert run.stop is None


def test_when_every_endpoint_refuses_a_model_the_run_stops_and_names_each_reason() -> None:
    """A refusal counts more than an outage; each endpoint is named with its own."""
    routes = [
        route(server(20, trouble=lambda now_s, body: refusal(401, "wrong key")), "a"),
        route(server(20, trouble=lambda now_s, body: refusal(402, "no credit")), "b"),
    ]
    run = send_all(routes, 500)
    assert run.outcomes == []
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("unauthorized", 4)
    assert "m at a: wrong key" in run.stop.message
    assert "m at b: no credit" in run.stop.message


def test_when_both_endpoints_are_away_the_run_waits_and_goes_on_where_one_is_back_first() -> None:
    """What had waited at the other goes there too."""
    servers = {"a": mortal(20, (5, 300)), "b": mortal(20, (5.2, 60), seed=2)}
    run = send_all([route(each, name, policy=ONE_ATTEMPT) for name, each in servers.items()], 1_000)
    answers = answered_by(run)
    assert sum(answers.values()) == 1_000
    assert 60 < run.ended_s < 120


def test_an_endpoint_that_never_answers_is_asked_on_while_others_answer() -> None:
    """It may still load its model; whether it comes at all does not matter for the end of the run."""
    never = mortal(20, (0, 10_000))
    run = send_all([route(never, "a", policy=ONE_ATTEMPT), route(server(20), "b", policy=ONE_ATTEMPT)], 4_000)
    assert answered_by(run) == {"b": 4_000}
    assert run.ended_s > 61
    late = mortal(20, (0, 70))
    run = send_all([route(late, "a", policy=ONE_ATTEMPT), route(server(20), "b", policy=ONE_ATTEMPT)], 4_000)
    assert answered_by(run)["a"] > 500


def test_when_no_endpoint_ever_answers_the_run_stops_after_a_minute() -> None:
    """The message has both."""
    routes = [route(mortal(20, (0, 10_000)), name, place=f"http://{name}/v1") for name in "ab"]
    run = send_all(routes, 100)
    assert run.outcomes == []
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("unheard", 4)
    assert "http://a/v1" in run.stop.message
    assert "http://b/v1" in run.stop.message
    assert 60 < run.ended_s < 90


def test_a_row_that_takes_servers_down_is_found_among_replicas_and_the_others_are_answered() -> None:
    """Two servers die each time they work on one row, and are away for ten seconds."""
    downs: dict[str, float] = {}

    class Fragile(Endpoint):
        name = ""

        async def send(self, body: bytes, kind: RequestKind = "chat") -> Reply | Fault:
            loop = asyncio.get_running_loop()
            if loop.time() < downs.get(self.name, 0.0):
                await asyncio.sleep(0.001)
                return Fault("connection", "no connection: refused", 0.001, was_sent=False)
            began_s, ends_s = loop.time(), loop.time() + (0.3 if body == b"row-150" else 0.5)
            self.received += 1
            while loop.time() < ends_s:
                await asyncio.sleep(0.05)
                if began_s < downs.get(self.name, 0.0):
                    return Fault("connection", "cut", loop.time() - began_s)
            if body == b"row-150":
                downs[self.name] = loop.time() + 10
                return Fault("connection", "cut", 0.3)
            return Reply(200, {}, ANSWER, 0.5)

    servers = {name: Fragile(lambda now_s: 20) for name in "ab"}
    for name, each in servers.items():
        each.name = name
    run = send_all([route(each, name, limit=Limit(20), policy=ONE_ATTEMPT) for name, each in servers.items()], 4_000)
    assert len(run.outcomes) == 4_000
    assert {each.row for each in run.outcomes} == set(range(4_000))
    assert [each.row for each in run.failed] == [150]
    assert "each time this row was sent" in (run.failed[0].error or "")


def test_a_row_that_is_rejected_goes_to_an_endpoint_that_has_room() -> None:
    """It does not wait: the run takes as long as without the full server."""
    full = server(0)
    run = send_all([route(full, "a", limit=Limit(4, start=4)), route(server(50), "b", limit=Limit(50, start=50))], 300)
    assert answered_by(run) == {"b": 300}
    assert 0 < full.rejected < 20
    assert run.ended_s <= 1.02 * send_all(server(50), 300, limit=Limit(50, start=50)).ended_s


def test_rows_that_hang_at_the_end_go_to_another_endpoint() -> None:
    """However many: another endpoint answers."""
    hangs = server(20, trouble=lambda now_s, body: Fault("timeout", "no answer in time", 600.0) if now_s > 5 else None)
    run = send_all([route(hangs, "a", limit=Limit(20)), route(server(20), "b", limit=Limit(20))], 800)
    assert sum(answered_by(run).values()) == 800
    assert run.ended_s < 60
    assert {event.endpoint for event in run.events if isinstance(event, GivenUp)} == {"a"}


def test_rows_that_fail_everywhere_fail_although_each_canary_is_slow() -> None:
    """They are not left from one endpoint to the other for ever."""

    class Slow(Endpoint):
        async def _answer(self, body: bytes) -> Reply | Fault:
            if body != CANARY and int(body[4:]) >= 300:
                self.received += 1
                await asyncio.sleep(0.01)
                return refusal(500, "a bad row")
            await asyncio.sleep(3.0 if body == CANARY else 0.0)
            return await super()._answer(body)

    servers = {name: Slow(lambda now_s: 20, latency=lognormal(0.1)) for name in "ab"}
    run = send_all([route(each, name, limit=Limit(20)) for name, each in servers.items()], 400)
    assert sorted(each.row for each in run.failed) == list(range(300, 400))
    assert len(run.outcomes) == 400
    assert max(each.attempts for each in run.failed) <= 15


def test_what_is_known_of_each_endpoint_and_of_all() -> None:
    """For the bar and run.json, while one endpoint of two is away."""
    seen: list[Any] = []
    flights: list[int] = []

    async def main() -> None:
        routes = [route(mortal(20, (5, 10_000)), "a", limit=Limit(20)), route(server(20), "b", limit=Limit(20))]
        pool = Pool(routes, Listeners(on_outcome=lambda outcome: None, on_flight=flights.append))

        async def batches() -> AsyncIterator[list[Request]]:
            yield requests(1_500)

        def look() -> None:
            pool.look()
            seen.extend(
                (each.name, each.in_flight, each.is_away, each.trouble, dict(each.closed)) for each in pool.routes
            )
            seen.extend([pool.in_flight, pool.is_away, pool.trouble, pool.away_s, pool.probe_in_s])

        asyncio.get_running_loop().call_later(15, look)
        await pool.run(batches())

    run_virtually(main())
    (a, in_flight, *first), (b, others, *second), total, is_away, trouble, away_s, probe_in_s = seen
    assert (a, b, first[0], second) == ("a", "b", True, [False, None, {}])
    assert (others, total, is_away) == (20, 20 + in_flight, False)
    assert trouble == f"a: {first[1]}"
    assert trouble.startswith("a: connection: no connection")
    assert 9 < away_s < 11
    assert 0 <= probe_in_s < 1
    assert (max(flights), flights[-1]) == (40, 0)


def test_a_row_that_waits_for_the_rate_of_an_endpoint_goes_to_another_that_is_idle() -> None:
    """A rate of two requests a minute would hold the last row for half a minute."""
    slow, free = server(20), server(20)
    limits = {"rates": rates_by_bytes(2, None)}
    run = send_all([route(slow, "a", limit=Limit(20), **limits), route(free, "b", limit=Limit(20))], 200)
    assert answered_by(run) == {"a": slow.accepted, "b": free.accepted}
    assert slow.accepted >= 1
    assert run.ended_s < 10


def test_a_rate_of_all_endpoints_together_is_kept_although_each_has_its_own() -> None:
    """A row does not travel between endpoints that all have rates."""
    whole = rates_by_bytes(60, None)
    servers = {name: server(20) for name in "ab"}
    rates = {name: Rates(40, None, lambda request: 1.0, whole) for name in servers}
    run = send_all([route(each, name, limit=Limit(20), rates=rates[name]) for name, each in servers.items()], 60)
    assert sum(answered_by(run).values()) == 60
    assert 58 <= run.ended_s <= 64


def test_what_takes_longer_than_usual_is_late_also_at_an_endpoint_that_never_answered() -> None:
    """So no estimate by the rate is shown while only that is left."""
    late: list[bool] = []
    hangs = server(4, trouble=lambda now_s, body: Fault("timeout", "no answer in time", 600.0))
    pools: list[Pool] = []

    class Watched(Endpoint):
        async def send(self, body: bytes, kind: RequestKind = "chat") -> object:  # type: ignore[override]  # the same
            if not late:
                asyncio.get_running_loop().call_later(20, lambda: late.append(pools[0].is_late))
                late.append(False)
            return await super().send(body, kind)

    free = Watched(lambda now_s: 20, latency=lognormal(0.5))
    run = send_all([route(hangs, "a", limit=Limit(4)), route(free, "b", limit=Limit(20))], 200, pools=pools)
    assert answered_by(run) == {"b": 200}
    assert late == [False, True]
    assert run.ended_s < 35


def test_the_attempts_of_each_endpoint_are_those_that_its_server_has_counted() -> None:
    """Also of rows that were rejected or failed at one and answered at another."""
    down = Fault("connection", "no connection", 0.001, was_sent=True)
    servers = {
        "a": server(10, 0.2),
        "b": server(40, 0.6, trouble=lambda now_s, body: down if 5 <= now_s < 20 else None),
        "c": server(5, 1.0),
    }
    run = send_all([route(servers[name], name) for name in servers], 3_000)
    assert len(answered_by(run)) == 3
    counted: dict[str, Counter[str]] = {"attempts": Counter(), "throttled": Counter()}
    for each in [*run.outcomes, *(event for event in run.events if isinstance(event, Attempted))]:
        counted["attempts"][each.endpoint] += each.attempts
        counted["throttled"][each.endpoint] += each.throttled
    assert counted["attempts"] == {name: each.received for name, each in servers.items()}
    assert counted["throttled"] == {name: each.rejected for name, each in servers.items()}


LONG_RATE = refusal(429, "rate limit exceeded on tokens per minute", retry_after="300")


def test_a_row_that_is_rejected_for_long_goes_to_an_endpoint_that_has_nothing_else_to_send() -> None:
    """Also after its second rejection; the endpoint that named the time is left alone for so long."""
    seen: set[bytes] = set()

    def reject_first(now_s: float, body: bytes) -> Reply | None:
        is_first = body not in seen
        seen.add(body)
        return refusal(429, "too many concurrent requests") if is_first else None

    limited = server(4, trouble=lambda now_s, body: LONG_RATE if body in seen else None)
    free = server(4, trouble=reject_first)
    run = send_all([route(limited, "a", limit=Limit(4)), route(free, "b", limit=Limit(4))], 60)
    assert answered_by(run) == {"a": limited.accepted, "b": free.accepted}
    assert max(each.throttled for each in run.outcomes) >= 2
    assert run.ended_s < 60
    assert limited.received - limited.accepted < 10


ADVICE = [(429, "Too many requests"), (429, "Rate limit reached"), (500, "oops"), (503, "busy"), (529, "overloaded")]


@pytest.mark.parametrize(("status", "words"), ADVICE)
@pytest.mark.parametrize("rows", [60, 1_000])
def test_a_row_does_not_wait_for_the_time_that_an_endpoint_named_where_another_has_room(
    status: int, words: str, rows: int
) -> None:
    """Nor is it sent there again before that time."""
    until_s: dict[bytes, float] = {}
    chance, early = random.Random(3), list[bytes]()

    def busy(now_s: float, body: bytes) -> Reply | None:
        if now_s < until_s.get(body, 0.0) and body != CANARY:
            early.append(body)
        if chance.random() > 0.2:
            return None
        until_s[body] = now_s + 20
        return refusal(status, words, retry_after="20")

    servers = {"busy": server(20, trouble=busy), "idle": server(100)}
    run = send_all([route(each, name) for name, each in servers.items()], rows)
    assert len(answered_by(run)) == 2
    assert len(run.outcomes) == rows
    assert run.ended_s < 10
    assert not early


def test_a_row_that_fails_everywhere_fails_in_the_end_whatever_times_are_named() -> None:
    """It goes once to an endpoint where it never was, and then pays for its failures."""

    def trouble(now_s: float, body: bytes) -> Reply | None:
        return refusal(500, "oops", retry_after="20") if body == b"row-5" else None

    servers = {"a": server(20, trouble=trouble), "b": server(20, trouble=trouble)}
    run = send_all([route(each, name) for name, each in servers.items()], 60)
    assert [outcome.row for outcome in run.failed] == [5]
    assert run.failed[0].attempts <= 10
    assert run.ended_s < 150


def test_a_row_that_every_endpoint_rejects_for_itself_fails_in_the_end() -> None:
    """It travels between them, and each keeps what its rejections have shown there."""
    short = refusal(429, "rate limit exceeded on tokens per minute", retry_after="5")
    servers = {name: server(8, trouble=lambda now_s, body: short if body == b"row-7" else None) for name in "ab"}
    run = send_all([route(each, name, limit=Limit(8)) for name, each in servers.items()], 3_000)
    assert [each.row for each in run.failed] == [7]
    assert run.failed[0].throttled < 60


@pytest.mark.parametrize("seed", range(5))
def test_a_short_outage_at_few_slots_costs_no_row(seed: int) -> None:
    """Each of two models has too few slots for many rows to fail, and the same few fail again and again."""

    def trouble(now_s: float, body: bytes) -> Fault | None:
        return Fault("timeout", "silence", 5.0) if 2.5 <= now_s < 62.5 else None

    asked = [each._replace(model="mn"[each.row % 2]) for each in requests(100)]
    few, one = server(4, trouble=trouble, seed=seed), server(1, 0.8, seed=seed)
    run = send_all([route(few, "a", limit=Limit(8)), route(one, "b", limit=Limit(8))], asked, seed=seed)
    assert sum(answered_by(run).values()) == 100


def test_a_model_that_one_endpoint_serves_alone_has_its_slots_first() -> None:
    """The others can be sent elsewhere: the run takes as long as a plan for both endpoints would."""
    asked = [each._replace(model="mn"[each.row % 2]) for each in requests(2_000)]
    both, one = server(10), server(10)
    run = send_all(
        [
            route(both, "a", limit=Limit(10, start=10), serves={"m": "m", "n": "n"}),
            route(one, "b", limit=Limit(10, start=10), serves={"n": "n"}),
        ],
        asked,
    )
    assert {(each.model, each.endpoint) for each in run.outcomes} >= {("m", "a"), ("n", "b")}
    used = (both.busy_s + one.busy_s) / (20 * run.ended_s)
    assert used >= 0.97


def test_a_model_that_one_endpoint_serves_alone_leaves_what_it_cannot_use() -> None:
    """And while the other endpoint of the others is away, all take turns."""
    asked = [each._replace(model="mn"[each.row % 10 > 0]) for each in requests(1_000)]
    both, gone = server(10), server(10, trouble=lambda now_s, body: Fault("connection", "refused", 0.001))
    routes = [
        route(both, "a", limit=Limit(10), serves={"m": "m", "n": "n"}),
        route(gone, "b", limit=Limit(10), serves={"n": "n"}),
    ]
    run = send_all(routes, asked)
    assert answered_by(run) == {"a": 1_000}
    assert both.busy_s / (10 * run.ended_s) >= 0.95


@pytest.mark.parametrize("fails", [False, True])
def test_the_attempts_of_a_row_and_of_its_fallback_count_where_each_was_sent(fails: bool) -> None:
    """Also where the fallback fails too: then the outcome is the first model's."""

    def refuse(now_s: float, body: bytes) -> Reply | None:
        return refusal(400, "maximum context length is 4096 tokens") if body.startswith(b"row") else None

    def refuse_some(now_s: float, body: bytes) -> Reply | None:
        return refuse(now_s, b"row") if fails and b"row-1" in body else None

    one, two = server(5, trouble=refuse), server(3, trouble=refuse_some)
    rules = {"fallbacks": {"m": "n"}}
    asked = [each._replace(body=b'{"model":"m","x":"%s"}' % each.body) for each in requests(40)]
    one.trouble = lambda now_s, body: refuse(now_s, b"row") if b"row" in body else None
    run = send_all([route(one, "a", serves={"m": "m"}, **rules), route(two, "b", serves={"n": "n"}, **rules)], asked)
    assert len(run.outcomes) == 40
    attempts, throttled = counted_by_source(run)
    asked_first, asked_then = ("a", "m"), ("b", "n")
    assert attempts == Counter({asked_first: one.received, asked_then: two.received})
    assert throttled == Counter({asked_first: one.rejected, asked_then: two.rejected})


def counted_by_source(run: Run) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Return the attempts and the rejections of each model at each endpoint, as a run counts them."""
    attempts: Counter[tuple[str, str]] = Counter()
    throttled: Counter[tuple[str, str]] = Counter()
    for each in [*run.outcomes, *(event for event in run.events if isinstance(event, Attempted))]:
        attempts[each.endpoint, each.answered_by or each.model] += each.attempts
        throttled[each.endpoint, each.answered_by or each.model] += each.throttled
    return attempts, throttled


def test_the_attempts_of_a_row_that_stays_open_count_where_each_was_made() -> None:
    """Also those at an endpoint that it has left."""

    def dies(message: str) -> Any:
        return lambda now_s, body: refusal(401, message) if now_s > 4 else None

    servers = {"a": server(4, trouble=dies("no")), "b": server(7, trouble=dies("never"))}
    run = send_all([route(each, name) for name, each in servers.items()], 2_000)
    assert run.stop is not None
    attempts, throttled = counted_by_source(run)
    assert attempts == Counter({(name, "m"): each.received for name, each in servers.items()})
    assert throttled == Counter({(name, "m"): each.rejected for name, each in servers.items()})


def priced(usd: float, cap_usd: float, shared: Budget | None = None) -> Budget:
    """Return caps at an endpoint where each request costs so much."""

    def amount(*_: object) -> Amount:
        return Amount(usd, 15)

    if shared is None:
        return Budget(Amount(cap_usd, 1e9), Used(), amount, amount)
    return shared.at(amount, amount, amount)


def test_a_row_that_the_cap_does_not_allow_at_a_dear_endpoint_goes_to_a_cheap_one() -> None:
    """The run stops only when no endpoint has room, and names what the cheapest would have needed."""
    dear = priced(1.0, 20.5)
    budgets = {"dear": dear, "cheap": priced(0.001, 20.5, dear)}
    run = send_all([route(server(10), name, budget=budgets[name]) for name in budgets], requests(400))
    assert run.stop is None
    assert len(run.outcomes) == 400
    small = priced(1.0, 2.5)
    budgets = {"dear": small, "cheap": priced(0.01, 2.5, small)}
    run = send_all([route(server(10), name, budget=budgets[name]) for name in budgets], requests(400))
    assert run.stop is not None
    assert run.stop.exit_code == 5
    assert "which can cost up to 0.0100 USD" in run.stop.message
    assert sum(1.0 if each.endpoint == "dear" else 0.01 for each in run.outcomes) == pytest.approx(2.5, abs=0.011)


def dear_and_cheap(cheap: Endpoint, cap_usd: float = 20.5, **settings: Any) -> Run:
    dear = priced(1.0, cap_usd)
    budgets = {"dear": dear, "cheap": priced(0.001, cap_usd, dear)}
    servers = {"dear": server(10), "cheap": cheap}
    return send_all(
        [route(each, name, budget=budgets[name], **settings) for name, each in servers.items()], requests(400)
    )


def test_a_cheap_endpoint_that_is_away_is_waited_for_when_the_dear_one_has_no_room() -> None:
    """However often it is away; no row is lost, and nothing is spun meanwhile."""
    cheap = server(10, trouble=lambda now_s, body: refusal(503, "loading") if 1 < now_s % 400 < 300 else None)
    run = dear_and_cheap(cheap)
    assert run.stop is None
    assert len({outcome.row for outcome in run.outcomes}) == len(run.outcomes) == 400
    assert not run.failed
    assert sum(outcome.endpoint == "dear" for outcome in run.outcomes) <= 20
    assert run.ended_s > 300


def test_it_is_waited_for_as_long_as_patience_lasts() -> None:
    """Then the cap is what stops the run."""
    cheap = server(10, trouble=lambda now_s, body: refusal(503, "loading") if now_s > 1 else None)
    run = dear_and_cheap(cheap, policy=Policy(patience_s=600))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("cost_cap", 5)
    assert 600 < run.ended_s < 700


def test_one_that_never_answered_is_waited_for_a_minute() -> None:
    cheap = server(10, trouble=lambda now_s, body: Fault("connection", "refused", 0.01, was_sent=False))
    run = dear_and_cheap(cheap)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("cost_cap", 5)
    assert 60 < run.ended_s < 120


def test_a_model_that_the_cap_stops_does_not_keep_another_from_its_endpoint() -> None:
    """`y` is served at the dear endpoint alone: the run ends when `x` is done, and the cap is the reason."""
    cheap = server(10, trouble=lambda now_s, body: refusal(503, "loading") if 1 < now_s < 100 else None)
    dear = priced(1.0, 20.5)
    routes = [
        route(server(10), "dear", budget=dear, serves={"x": "x", "y": "y"}),
        route(cheap, "cheap", budget=priced(0.001, 20.5, dear), serves={"x": "x"}),
    ]
    run = send_all(routes, [*requests(200, "x"), *requests(200, "y")])
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("cost_cap", 5)
    assert sum(outcome.model == "x" for outcome in run.outcomes) == 200
    assert 0 < sum(outcome.model == "y" for outcome in run.outcomes) <= 20


@pytest.mark.parametrize("status", [401, 402, 403])
def test_rows_go_on_at_once_while_it_is_found_out_whether_an_endpoint_refuses_everybody(status: int) -> None:
    """The run takes no longer than the other endpoint needs; the canaries that confirm the refusal stay few."""
    asked: list[bytes] = []

    def refuse(now_s: float, body: bytes) -> Reply | None:
        if now_s <= 0.25:
            return None
        asked.append(body)
        return refusal(status, "no")

    refused, other = server(200, 0.2, trouble=refuse), server(200, 0.2)
    limits = {"a": Limit(200, start=200), "b": Limit(200, start=200)}
    servers = {"a": refused, "b": other}
    rows = 3_600
    run = send_all([route(servers[name], name, limit=limits[name], policy=ONE_ATTEMPT) for name in servers], rows)
    assert sum(answered_by(run).values()) == rows
    assert run.ended_s <= 4.5
    assert 0 < asked.count(CANARY) <= 20
    assert len(asked) <= 250
