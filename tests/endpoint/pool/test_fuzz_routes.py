"""Several servers of any character, through the real pool on the virtual clock: each run ends, and no row is lost.

`BATCHRUN_FUZZ_REPLIES` sets how many replies it takes.
"""

import os
import random
from collections import Counter

from harness.odd_servers import OddServer
from harness.runs import requests, route, send_all

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.records import Closed

REPLIES = int(os.environ.get("BATCHRUN_FUZZ_REPLIES", "10000"))


def check(seed: int) -> int:
    """Run two to four servers of this seed, and one or two models; return how many replies they gave."""
    chance = random.Random(seed)
    rows = chance.choice([1, 2, 9, 40, 200])
    servers = {
        name: OddServer(100 * seed + number, rows) for number, name in enumerate("abcd"[: chance.choice([2, 3, 4])])
    }
    models = ["m"] if chance.random() < 0.5 else ["m", "n"]
    served = {name: {each: each for each in models if chance.random() < 0.7} for name in servers}
    served["a"] = {each: each for each in models}
    asked = [each._replace(model=models[each.row % len(models)]) for each in requests(rows)]
    cap = NO_CAP if seed % 4 else NO_CAP._replace(tokens=20 * rows // 2 + 20)
    budget = Budget(cap, Used(), lambda request: Amount(0.0, 20), lambda model, usage: Amount(0.0, 15))
    routes = [
        route(server, name, limit=Limit(chance.choice([1, 8, 100])), serves=served[name], budget=budget, is_heard=True)
        for name, server in servers.items()
    ]
    run = send_all(routes, asked)

    outcomes = {b"row-%d" % outcome.row: outcome for outcome in run.outcomes}
    assert len(outcomes) == len(run.outcomes), seed
    assert run.ended_s < 13 * 3_600, seed
    assert budget.owed.tokens <= cap.tokens, seed
    answered = Counter(body for server in servers.values() for body in server.answered if body.startswith(b"row"))
    assert max(answered.values(), default=1) == 1, seed
    for body in answered:
        assert outcomes[body].kind is None, (seed, body)
    for body, outcome in outcomes.items():
        assert outcome.kind is None or any(body in server.odd for server in servers.values()), (seed, outcome)
        assert outcome.kind is not None or body in servers[outcome.endpoint].answered, (seed, outcome)
    gone = {name for name, server in servers.items() if server.ends_s is not None}
    assert {event.endpoint for event in run.events if isinstance(event, Closed)} <= gone, seed
    if run.stop is None:
        assert len(outcomes) == rows, seed
    elif run.stop.kind not in ("token_cap", "cost_cap"):
        assert any(all(name in gone for name in served if model in served[name]) for model in models), (seed, run.stop)
        assert run.stop.exit_code in (4, 5), seed
    return sum(server.replies.total() for server in servers.values())


def test_with_several_servers_no_row_is_lost_or_doubled_and_every_run_ends() -> None:
    """Whatever they refuse, reject and break at, and whenever they are away; only what no server answers stays open."""
    replies = seed = 0
    while replies < REPLIES:
        replies += check(seed)
        seed += 1
