"""What a failure weighs while the endpoint works for only some rows."""

import random
from statistics import fmean

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import send_all

from batchrun.endpoint.pool.brownout import Brownout
from batchrun.endpoint.pool.limits import Limit
from batchrun.records import Reply


def brownout(bad: float, chance: float, *, rows: int = 1_000, seed: int = 1) -> Brownout:
    """Return what is known after many rows, of which some fail always and others by chance."""
    draw, known = random.Random(seed).random, Brownout(5)
    for _ in range(rows):
        is_bad = draw() < bad
        for attempt in (1, 2):
            works = not is_bad and draw() >= chance
            known.noted(attempt, works=works)
            if works:
                break
    return known


def mean_weight(bad: float, chance: float) -> float:
    """Return what a failure weighs, on average over many runs."""
    return fmean(brownout(bad, chance, seed=seed).weight for seed in range(50))


def test_while_few_rows_fail_a_failure_costs_a_whole_attempt() -> None:
    """So that `max_attempts` means what it says."""
    assert brownout(0.0, 0.1).weight == 1.0


def test_the_more_attempts_fail_by_chance_the_less_a_failure_costs() -> None:
    """Where seven in ten fail, thirty-two failures in a row show as much as five where one in ten fails."""
    weights = [mean_weight(0.0, chance) for chance in (0.3, 0.5, 0.7, 0.9)]
    assert weights == sorted(weights, reverse=True)
    assert 0.1 < weights[2] < 0.25


@pytest.mark.parametrize("bad", [0.2, 0.4, 0.8])
def test_rows_that_fail_at_every_attempt_do_not_make_their_failures_cheaper(bad: float) -> None:
    """However many they are: their second attempts fail too."""
    known = brownout(bad, 0.0)
    assert known.weight == 1.0
    assert known.blames_rows


@pytest.mark.parametrize("bad", [0.1, 0.3])
def test_chance_is_measured_also_where_there_are_bad_rows(bad: float) -> None:
    """A failure weighs about what it weighs without the bad rows."""
    assert mean_weight(bad, 0.5) == pytest.approx(mean_weight(0.0, 0.5), rel=0.3)


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_many_rows_that_always_fail_end_after_max_attempts_or_nearly(share: float) -> None:
    """Forty of a hundred, mixed with others: no other row fails, and the run takes little longer."""
    chance = random.Random(1)
    bad = {b"row-%d" % row for row in range(1_000) if chance.random() < share}
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: refusal(500) if body in bad else None)
    run = send_all(endpoint, 1_000, limit=Limit(100))
    assert {b"row-%d" % outcome.row for outcome in run.failed} == bad
    assert sum(outcome.attempts for outcome in run.failed) <= 6 * len(bad)
    assert run.ended_s < 100


@pytest.mark.parametrize("seed", range(4))
def test_where_four_attempts_in_ten_fail_by_chance_no_row_is_lost(seed: int) -> None:
    """From the first row on."""
    chance = random.Random(seed)
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: refusal(500) if chance.random() < 0.4 else None)
    run = send_all(endpoint, 1_000, limit=Limit(100))
    assert len(run.outcomes) == 1_000
    assert not run.failed


@pytest.mark.parametrize(
    ("share", "rows", "most", "seed"), [(0.7, 2_000, 0, seed) for seed in (1, 5, 6)] + [(0.9, 1_000, 2, 1)]
)
def test_outages_that_only_chance_makes_condemn_no_row(share: float, rows: int, most: int, seed: int) -> None:
    """A row that is tried alone fails by chance too, and so does the probe after it."""
    chance = random.Random(seed)
    endpoint = Endpoint(lambda now_s: 50, trouble=lambda now_s, body: refusal(500) if chance.random() < share else None)
    run = send_all(endpoint, rows, limit=Limit(100), seed=seed)
    assert len(run.outcomes) == rows
    assert len(run.failed) <= most


@pytest.mark.parametrize("is_outage", [False, True])
def test_only_failures_that_no_outage_explains_ask_for_more_trials(is_outage: bool) -> None:
    """Three trials are enough where an outage explains the failures."""
    known = Brownout(5)
    for _ in range(100):
        known.noted(1, works=False)
        known.noted(2, works=False)
        if is_outage:
            known.explained()
        known.noted(3, works=True)
    assert (known.least_trials > 6) is not is_outage


def test_a_brown_out_loses_no_row() -> None:
    """For fifteen seconds seven requests in ten fail, as with two of three machines broken: it costs time, no rows."""
    chance = random.Random(4)

    def trouble(now_s: float, body: bytes) -> Reply | None:
        return refusal(500) if 10 <= now_s < 25 and chance.random() < 0.7 else None

    run = send_all(Endpoint(lambda now_s: 20, trouble=trouble), 2_000)
    assert len(run.outcomes) == 2_000
    assert len(run.failed) <= 2  # before it shows, chance may still convict
