"""Which request of a model is sent next; time and the requests in flight are given."""

from dataclasses import dataclass

import pytest
from harness.runs import requests

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.failures import Failure
from batchrun.endpoint.pool.lane import Lane
from batchrun.endpoint.pool.shared_queue import SharedQueue
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Request, Usage


@dataclass
class Room:
    """The state of all lanes."""

    most_waiting: int = 16
    more_to_come: bool = False
    slots: int = 8
    use: float = 0.5
    is_heard: bool = True

    def closed(self, model: str) -> None:
        """Nothing depends on it here."""


def lane(fresh: int = 0, room: Room | None = None) -> Lane:
    made = Lane(SharedQueue("m", 2), lambda model, is_bare: Request(-1, model, 0, b"", b"canary", None), room or Room())
    made.queue.extend(requests(fresh))
    return made


def failed(row: int) -> Work:
    work = Work(Request(row, "m", 0, b"", b"", None), 2)
    work.failure = (Fault("timeout", "silence", 1.0), Verdict("timeout", "silence", Usage()))
    return work


def suspect(made: Lane, row: int, now_s: float = 0.0) -> Work:
    work = failed(row)
    made.health.failed(work, Failure("timeout", "silence", 10, now_s, now_s, 99, was_probe=False))
    return work


def row(work: Work | None) -> int | None:
    return work.request.row if work else None


def test_without_room_no_fresh_request_is_sent() -> None:
    """Requests that are due again are sent."""
    made = lane(1)
    made.most_bytes = 0
    made.in_flight = 1
    assert made.next(0.0) is None
    made.backlog.put(failed(7), 0.0)
    assert row(made.next(0.0)) == 7
    made.most_bytes = 1
    assert row(made.next(0.0)) == 0
    assert made.is_empty


def test_requests_that_are_due_again_come_before_fresh_requests() -> None:
    """A request that is not due yet waits, and the lane gives the time at which it is due."""
    made = lane(2)
    made.backlog.put(failed(7), 1.0)
    made.backlog.put(failed(8), 5.0)
    assert row(made.next(2.0)) == 7
    assert row(made.next(2.0)) == 0
    assert row(made.next(2.0)) == 1
    assert made.next(2.0) is None
    assert made.look_again_s == 5.0
    assert not made.is_empty


def test_a_lane_with_too_many_waiting_rows_takes_no_fresh_rows() -> None:
    """Failed rows do not pile up without end."""
    room = Room(most_waiting=8)
    made = lane(5, room)
    for number in range(100, 108):
        made.backlog.put(failed(number), 9.0)
    assert made.next(0.0) is None
    assert made.look_again_s == 9.0
    room.most_waiting = 9
    assert row(made.next(0.0)) == 0


def test_during_a_pause_only_probes_leave_each_at_its_time() -> None:
    """Fresh rows probe first, then others that are not suspects; the lane gives the time of the next probe."""
    made = lane(1)
    bad, good = suspect(made, 7), failed(8)
    made.backlog.put(bad, 0.0)
    made.backlog.put(good, 99.0)
    made.health.doubt("timeout", "silence", 10.0)
    assert made.next(10.2) is None
    assert made.look_again_s == pytest.approx(10.625)  # a sixteenth of the length of the outage
    probe = made.next(10.7)
    assert row(probe) == 0
    assert made.next(10.7) is None
    assert made.look_again_s == pytest.approx(10.7 + 10.7 / 16)
    assert made.next(20.0) is good
    assert probe is not None
    assert made.ends_probe(probe)
    assert not made.ends_probe(probe)
    assert not made.ends_probe(bad)


def test_a_canary_is_sent_when_only_suspects_are_left_and_one_at_a_time() -> None:
    """Not while more rows may come: one of them may show whether the endpoint works."""
    room = Room(more_to_come=True)
    made = lane(0, room)
    made.backlog.put(suspect(made, 7), 0.0)
    made.health.doubt("timeout", "silence", 10.0)
    assert made.next(11.0) is None
    room.more_to_come = False
    canary = made.next(11.0)
    assert canary is not None
    assert canary.is_canary
    assert (canary.request.body, canary.request.model) == (b"canary", "m")
    assert made.next(20.0) is None
    assert made.ends_probe(canary)
    again = made.next(21.0)
    assert again is not None
    assert again.is_canary


def test_rows_that_are_held_back_are_judged_by_the_rows_that_follow() -> None:
    """While others are in flight, wait or may come, no probe is needed; without any of these a probe must judge."""
    room = Room()
    made = lane(1, room)
    made.backlog.park(suspect(made, 7))
    assert row(made.next(1.0)) == 0
    made.in_flight = 1
    assert made.next(1.0) is None
    assert made.health.pause is None
    made.in_flight = 0
    waiting = failed(8)
    made.backlog.put(waiting, 50.0)
    assert made.next(1.0) is None
    assert made.look_again_s == 50.0
    assert made.backlog.take_due(50.0) is waiting
    room.more_to_come = True
    assert made.next(1.0) is None
    assert made.health.pause is None
    room.more_to_come = False
    assert made.next(1.0) is None
    assert made.health.pause is not None
    assert not made.is_empty
    assert made.look_again_s is not None
    canary = made.next(made.look_again_s)
    assert canary is not None
    assert canary.is_canary


def test_held_back_rows_that_fill_the_waiting_room_do_not_stop_the_run() -> None:
    """Then a fresh row probes."""
    made = lane(3, Room(most_waiting=4))
    for number in range(100, 104):
        made.backlog.park(suspect(made, number))
    assert made.next(1.0) is None
    assert made.look_again_s is not None
    assert row(made.next(made.look_again_s)) == 0


def test_after_every_eight_canaries_that_fail_a_suspect_probes() -> None:
    """A server may answer rows and break at canaries; a suspect may be what makes it crash."""
    made = lane()
    waiting, kept_back = suspect(made, 7), suspect(made, 8)
    made.backlog.put(waiting, 99.0)
    made.backlog.park(kept_back)
    made.health.doubt("timeout", "silence", 0.0)
    now_s = 1.0
    probes = []
    for _ in range(18):
        probe = made.next(now_s)
        assert probe is not None
        assert made.next(now_s + 1e-6) is None
        failure = Failure("timeout", "silence", 10, now_s, now_s + 1, 0, was_probe=made.ends_probe(probe))
        made.health.canary_failed(failure) if probe.is_canary else made.health.failed(probe, failure)
        probes.append("canary" if probe.is_canary else probe.request.row)
        now_s += 40
        if probe is kept_back:
            made.backlog.park(probe)
    assert probes == ["canary"] * 8 + [7] + ["canary"] * 8 + [8]
    assert made.backlog.again == 0


def test_probes_are_not_fresh_rows_when_memory_has_no_room_for_them() -> None:
    """Otherwise an outage of a night would fill memory, one row per probe."""
    made = lane(2, Room(more_to_come=True))
    made.most_bytes = 0
    made.backlog.put(suspect(made, 7), 99.0)
    made.health.doubt("timeout", "silence", 0.0)
    probe = made.next(1.0)
    assert probe is not None
    assert probe.is_canary
    assert len(made.queue) == 2
