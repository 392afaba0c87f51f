"""What a failure weighs while the endpoint works for only some rows."""

import random

from harness.endpoints import Endpoint, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.brownout import Brownout
from batchrun.records import Reply


def test_while_few_rows_fail_a_failure_costs_a_whole_attempt() -> None:
    """So that `max_attempts` means what it says."""
    brownout = Brownout(5)
    for row in range(1_000):
        brownout.failed() if row % 10 == 0 else brownout.succeeded()
    assert brownout.weight == 1.0


def test_the_more_rows_fail_the_less_a_failure_costs() -> None:
    """Where seven in ten fail, thirty-two failures in a row show as much as five where one in ten fails."""
    weights = []
    for share in (3, 5, 7, 9):
        brownout = Brownout(5)
        for row in range(5_000):
            brownout.failed() if row % 10 < share else brownout.succeeded()
        weights.append(brownout.weight)
    assert weights == sorted(weights, reverse=True)
    assert 0.1 < weights[2] < 0.25


def test_a_brown_out_loses_no_row() -> None:
    """For fifteen seconds seven requests in ten fail, as with two of three machines broken: it costs time, no rows."""
    chance = random.Random(4)

    def trouble(now_s: float, body: bytes) -> Reply | None:
        return refusal(500) if 10 <= now_s < 25 and chance.random() < 0.7 else None

    run = send_all(Endpoint(lambda now_s: 20, trouble=trouble), 2_000)
    assert len(run.outcomes) == 2_000
    assert len(run.failed) <= 2  # before it shows, chance may still convict
