"""Workers together never pass a cap, and use all of it that they can."""

import random

import pytest

from batchrun.endpoint.pool.budget import ROUNDING
from batchrun.engine.cluster.purse import Purse, Share


class Spender:
    """A worker: it reserves what a request may cost before it sends it, and knows its part of the cap.

    Each of its requests may cost another amount, up to `worst`.
    """

    def __init__(self, chance: random.Random, worst: float) -> None:
        self.chance, self.worst = chance, worst
        self.given = self.used = 0.0
        self.in_flight: list[tuple[float, float]] = []  # what each may cost, and costs
        self.wants = 0.0
        self.following = chance.uniform(0.5, worst)

    @property
    def free(self) -> float:
        """What is not used or reserved."""
        return self.given - self.used - self.reserved

    @property
    def reserved(self) -> float:
        """What is set aside."""
        return sum(most for most, _ in self.in_flight)

    @property
    def spent(self) -> float:
        """What it costs in the end."""
        return self.used + sum(usd for _, usd in self.in_flight)

    def step(self) -> None:
        """Answer some requests, send others."""
        while self.in_flight and self.chance.random() < 0.5:
            self.used += self.in_flight.pop()[1]
        self.wants = 0.0
        for _ in range(self.chance.randrange(4)):
            if self.free + ROUNDING < self.following:
                self.wants = self.following
                return
            self.in_flight.append((self.following, self.chance.uniform(0, self.following)))
            self.following = self.chance.uniform(0.5, self.worst)

    def obey(self, change: float) -> Share:
        """Take or give back, and report."""
        self.given += change if change > 0 else -min(-change, max(0.0, self.free))
        if self.free + ROUNDING >= self.following:
            self.wants = 0.0
        return Share(self.given, self.used, self.reserved, self.wants)


@pytest.mark.parametrize("seed", range(100))
def test_a_cap_is_never_passed_and_is_used_to_the_last_request(seed: int) -> None:
    """Random costs, words that come in any order, workers that die with requests in flight."""
    chance = random.Random(seed)
    cap, worst = chance.uniform(5, 50), 1.0
    purse = Purse(cap)
    workers = {place: Spender(chance, worst) for place in range(4)}
    spent_by_dead = 0.0
    for place in workers:
        purse.join(place)
    for _ in range(10_000):
        for spender in workers.values():
            spender.step()
        place = chance.randrange(4)
        purse.heard(place, workers[place].obey(purse.grant(place)))
        if chance.random() < 0.002:
            spent_by_dead += workers[place].spent
            purse.leave(place)
            purse.join(place)
            workers[place] = Spender(chance, worst)
        spent = spent_by_dead + sum(each.spent for each in workers.values())
        assert spent <= cap + 1e-9
        if purse.is_exhausted:
            break
    assert purse.is_exhausted
    assert purse.used + purse.lost > cap - worst - 1e-9


def test_what_is_set_aside_for_a_dead_worker_is_about_what_it_had_in_flight() -> None:
    """It is given no more than twice that."""
    purse = Purse(1_000.0)
    purse.join(0)
    share = Share(0.0, 0.0, 0.0, 1.0)
    for _ in range(20):
        purse.heard(0, share)
        given = share.given + purse.grant(0)
        reserved = min(given - share.used, 10.0)
        share = Share(given, share.used, reserved, 1.0 if reserved < 10.0 else 0.0)
    purse.heard(0, share)
    purse.leave(0)
    assert 10.0 <= purse.lost <= 20.0


def test_who_needs_least_gets_what_the_others_hold() -> None:
    """All three are idle. The first could not go on with all that is left; the second can."""
    purse = Purse(30.0)
    shares = [Share(10.0, 9.86, 0.0, 0.43), Share(10.0, 9.86, 0.0, 0.41), Share(10.0, 9.86, 0.0, 0.42)]
    for worker in range(3):
        purse.join(worker)
    for worker, share in enumerate(shares):
        purse.heard(worker, share)
    assert not purse.is_exhausted
    for worker in (0, 2):
        assert purse.is_due(worker)
        back = purse.grant(worker)
        assert back == pytest.approx(-0.14)
        purse.heard(worker, shares[worker]._replace(given=10.0 + back))
    assert purse.is_due(1)
    assert purse.grant(1) == pytest.approx(0.27)
    assert not purse.is_due(0)


@pytest.mark.parametrize(("room", "is_exhausted"), [(20.32, False), (20.30, True)])
def test_what_a_worker_has_used_beyond_what_it_was_given_counts(room: float, is_exhausted: bool) -> None:
    """The first has used 0.1 more, as its answers cost more than they could: the second needs the 0.41 that are left.

    Of these it has 0.2, and nobody was given the others.
    """
    purse = Purse(room)
    for worker, share in enumerate([Share(10.0, 10.1, 0.0, 0.43), Share(10.0, 9.8, 0.0, 0.41)]):
        purse.join(worker)
        purse.heard(worker, share)
    assert purse.is_exhausted == is_exhausted
    assert purse.is_due(1) != is_exhausted
    assert purse.grant(0) == pytest.approx(0.1)
