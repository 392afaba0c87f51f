"""Several endpoints, through the real pool on the virtual clock: each is kept full, and no row is lost or doubled."""

from collections import Counter

from harness.endpoints import Endpoint, lognormal
from harness.runs import Run, requests, route, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.records import Request, RequestKind


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
    assert seen == {"a": {"m", "n"}, "b": {"n"}, "c": {"o", "p"}}


def test_two_models_at_two_providers_do_not_hold_each_other_up() -> None:
    """The fast one is done long before the slow one."""
    servers = {"fast": server(50, 0.1), "slow": server(5, 2.0)}
    routes = [route(servers["fast"], "fast", serves={"m": "m"}), route(servers["slow"], "slow", serves={"n": "n"})]
    rows = [each for pair in zip(requests(2_000), requests(2_000, "n"), strict=True) for each in pair]
    run = send_all(routes, rows)
    assert answered_by(run) == {"fast": 2_000, "slow": 2_000}
    assert servers["fast"].last_answer_s < 0.1 * servers["slow"].last_answer_s
    assert servers["slow"].busy_s / (5 * run.ended_s) > 0.95
