"""Servers of any character, through the real pool on the virtual clock: each run ends, and no sound row pays for it.

`BATCHRUN_FUZZ_REPLIES` sets how many replies it takes.
"""

import os
import random

from harness.odd_servers import OddServer
from harness.runs import send_all

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy

REPLIES = int(os.environ.get("BATCHRUN_FUZZ_REPLIES", "10000"))
MAX_ATTEMPTS = Policy().max_attempts
MOST_ATTEMPTS = {"sound": 40, "refused": 40, "broken": 100, "rejected": 120, "deadly": 250}
"""By what is odd about a row. Outages and rejections cost nothing; refusals cost whole attempts."""


def check(seed: int) -> int:
    """Run a server of this seed; return how many replies it gave."""
    server = OddServer(seed)
    cap = NO_CAP if seed % 4 else NO_CAP._replace(tokens=20 * server.rows // 2 + 20)
    budget = Budget(cap, Used(), lambda request: Amount(0.0, 20), lambda model, usage: Amount(0.0, 15))
    limit = Limit(random.Random(seed).choice([1, 8, 100]))
    run = send_all(server, server.rows, limit=limit, budget=budget, is_heard=True)
    outcomes = {b"row-%d" % outcome.row: outcome for outcome in run.outcomes}
    assert len(outcomes) == len(run.outcomes), seed
    assert run.ended_s < 13 * 3_600, seed
    for row in range(server.rows):
        kind, _ = server.odd.get(b"row-%d" % row, ("sound", None))
        most = MAX_ATTEMPTS if server.is_calm and kind == "refused" else MOST_ATTEMPTS[kind]
        assert server.replies[b"row-%d" % row] <= most, (seed, row, kind)
    assert budget.owed.tokens <= cap.tokens, seed
    for body in server.answered - {b"canary"}:
        assert outcomes[body].kind is None, (seed, body)
    for body, outcome in outcomes.items():
        assert outcome.kind is None or body in server.odd, (seed, outcome)
    if run.stop is None:
        assert len(outcomes) == server.rows, seed
    elif run.stop.kind not in ("token_cap", "cost_cap"):
        assert server.ends_s is not None, (seed, run.stop)
        assert run.stop.exit_code in (4, 5), seed
    return server.replies.total()


def test_every_server_lets_the_run_end_and_costs_no_sound_row() -> None:
    """No crash, no endless row, no completed answer lost, no more than the cap; only what refuses all stops a run."""
    replies = seed = 0
    while replies < REPLIES:
        replies += check(seed)
        seed += 1
