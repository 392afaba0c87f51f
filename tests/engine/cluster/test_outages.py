"""One outage is reported once, with its whole length, also where the workers that saw its beginning are dead."""

import pytest

from batchrun.engine.cluster.outages import Outages
from batchrun.records import Event, Paused, Resumed

AWAY = Paused("m", "overloaded", "down", for_s=1.0)


def back(after_s: float) -> list[Event]:
    """Return what is reported of a model that is back."""
    return [Resumed("m", pytest.approx(after_s))]


def test_an_outage_is_reported_when_the_first_meets_it_and_when_the_last_has_seen_its_end() -> None:
    """It has lasted since the first failure of all workers."""
    outages = Outages()
    assert list(outages.passed_on(1, AWAY, now_s=11.0)) == [AWAY]
    assert list(outages.passed_on(2, AWAY, now_s=13.0)) == []
    assert list(outages.passed_on(2, Resumed("m", 8.0), now_s=20.1)) == []
    assert list(outages.passed_on(1, Resumed("m", 9.0), now_s=20.1)) == back(10.0)
    assert not outages.are_any


def test_an_outage_is_as_long_when_the_workers_that_saw_its_beginning_have_died() -> None:
    """One that was started later has seen only a part of it."""
    outages = Outages()
    assert list(outages.passed_on(1, AWAY, now_s=11.0)) == [AWAY]
    assert list(outages.passed_on(3, AWAY, now_s=16.0)) == []
    assert list(outages.left(1, now_s=17.0)) == []
    assert list(outages.passed_on(3, Resumed("m", 4.0), now_s=19.1)) == back(9.0)


def test_an_outage_ends_when_the_last_that_saw_it_is_gone() -> None:
    """At the death of the only one that did; at its end, where another has seen that."""
    alone, both = Outages(), Outages()
    assert list(alone.passed_on(1, AWAY, now_s=11.0)) == [AWAY]
    assert list(alone.left(1, now_s=14.0)) == back(4.0)
    for worker in (1, 2):
        list(both.passed_on(worker, AWAY, now_s=11.0))
    assert list(both.passed_on(1, Resumed("m", 3.0), now_s=13.1)) == []
    assert list(both.left(2, now_s=30.0)) == back(3.0)
