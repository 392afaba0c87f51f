"""Workers together never pass a cap, and use all of it that they can."""

import random

import pytest

from batchrun.engine.cluster.purse import Purse, Share


class Spender:
    """A worker: it reserves what a request may cost before it sends it, and knows its part of the cap."""

    def __init__(self, chance: random.Random, worst: float) -> None:
        self.chance, self.worst = chance, worst
        self.given = self.used = 0.0
        self.in_flight: list[float] = []
        self.wants = 0.0

    @property
    def free(self) -> float:
        """What is not used or reserved."""
        return self.given - self.used - self.worst * len(self.in_flight)

    def step(self) -> None:
        """Answer some requests, send others."""
        while self.in_flight and self.chance.random() < 0.5:
            self.used += self.in_flight.pop()
        self.wants = 0.0
        for _ in range(self.chance.randrange(4)):
            if self.free < self.worst:
                self.wants = self.worst
                return
            self.in_flight.append(self.chance.uniform(0, self.worst))

    def obey(self, change: float) -> Share:
        """Take or give back, and report."""
        self.given += change if change > 0 else -min(-change, max(0.0, self.free))
        if self.free >= self.worst:
            self.wants = 0.0
        return Share(self.given, self.used, self.worst * len(self.in_flight), self.wants)


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
            spent_by_dead += workers[place].used + sum(workers[place].in_flight)
            purse.leave(place)
            purse.join(place)
            workers[place] = Spender(chance, worst)
        spent = spent_by_dead + sum(each.used + sum(each.in_flight) for each in workers.values())
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
