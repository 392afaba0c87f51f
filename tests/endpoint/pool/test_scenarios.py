"""Server models with accepted ranges, through the real pool on a virtual clock; `make bench` prints their figures."""

from dataclasses import replace

import pytest
from benchmarks.limits import SCENARIOS, Scenario, measure, ours
from harness.busy import BusyEndpoint
from harness.endpoints import lognormal
from harness.runs import send_all

from batchrun.endpoint.pool.limits import Limit

ACCEPTED = {
    "limit 1": (0.98, 0.10, 9),
    "limit 5": (0.98, 0.02, 9),
    "limit 20": (0.97, 0.005, 40),
    "limit 50": (0.97, 0.005, 100),
    "limit 100": (0.97, 0.005, 150),
    "limit 1000": (0.93, 0.005, 1_100),
    "100 → 25 → 150": (0.92, 0.01, 250),
    "50 → 5 for 20 s": (0.95, 0.02, 100),
    "limit 0 for 20 s": (0.95, 0.02, 100),
    "noisy neighbour, 10 s": (0.93, 0.02, 200),
    "noisy neighbour, 2 s": (0.88, 0.06, 200),
    "heavy tail": (0.90, 0.005, 100),
    "cold for 20 s": (0.84, 0.005, 100),  # for 20 s nothing shows that there is more than the start
    "queues beyond 20": (0.93, 0.0, 500),
    "600 requests a minute": (0.95, 0.05, 50),
}
"""Least share of the capacity used, greatest share rejected, most in flight."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_limit_is_found_and_held(scenario: Scenario) -> None:
    """Nothing is configured but a ceiling far above: the capacity is used, and few requests are rejected.

    While the limit is searched, requests in flight overshoot a little.
    """
    least_used, most_rejected, most_in_flight = ACCEPTED[scenario.name]
    endpoint = scenario.endpoint()
    used, rejected = measure(replace(scenario, rows=min(scenario.rows, 60_000)), ours(scenario), endpoint)
    assert used >= least_used
    assert rejected <= most_rejected
    assert endpoint.peak_sent <= most_in_flight


@pytest.mark.parametrize("ceiling", [1, 7, 30])
def test_the_ceiling_is_never_passed(ceiling: int) -> None:
    """Whatever the server would accept, and whatever fails."""
    for scenario in SCENARIOS:
        endpoint = scenario.endpoint()
        send_all(endpoint, 300, limit=Limit(ceiling))
        assert endpoint.peak_sent <= ceiling


@pytest.mark.parametrize(("slots", "latency_s"), [(20, 0.3), (40, 0.7), (80, 1.0)])
def test_a_limit_that_was_found_is_held_on_a_busy_machine(slots: int, latency_s: float) -> None:
    """A probe that seemed to be accepted has many requests rejected once, and not again and again."""
    received = rejected = 0
    for seed in range(2):
        endpoint = BusyEndpoint(lambda now_s: slots, lognormal(latency_s, 0.2), awake_s=0.03, asleep_s=0.1, seed=seed)
        rows = int(30 * slots / latency_s)
        run = send_all(endpoint, rows, limit=Limit(5_000))
        assert len(run.outcomes) == rows
        assert not run.failed
        received, rejected = received + endpoint.received, rejected + endpoint.rejected
    assert rejected <= 0.05 * received
