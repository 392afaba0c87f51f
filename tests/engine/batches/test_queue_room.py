"""Waiting for room in the provider's queue, on a virtual clock."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import CREATED, BatchRow
from batchrun.engine.batches import queue_room
from batchrun.engine.batches.queue_room import QueueRoom
from batchrun.engine.batches.shipment import Shipment

ROW = BatchRow(7, "m", "chat", CREATED, 40, 0.0, 0.0, 0)


class Room:
    """A queue room with its clock, and what it has shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.shown: list[str] = []
        self.planner: Any = SimpleNamespace(most_tokens={})
        self.room = QueueRoom(self.planner, self.shown.append)
        monkeypatch.setattr(queue_room.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(queue_room.asyncio, "sleep", self._sleep)

    async def _sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def waited_s(self) -> float:
        before_s = self.now_s
        asyncio.run(self.room.wait())
        return self.now_s - before_s


def test_while_others_are_under_way_one_that_ends_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of batches stays: it is the others that fill the queue."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), others=2)
    assert queue.planner.most_tokens == {}
    assert (queue.room.is_full, queue.room.has_freed) == (True, False)
    assert queue.shown == ["the provider's queue is full: batch 7 waits until another one has ended"]
    queue.room.took()
    assert queue.room.has_freed
    assert queue.waited_s() == 0
    assert not queue.room.is_full


def test_alone_the_next_batches_have_half_the_tokens_and_come_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Room(monkeypatch)
    waits = []
    for _ in range(10):
        queue.room.refused(Shipment(ROW, tokens=1_000.0), others=0)
        waits.append(queue.waited_s())
    assert queue.planner.most_tokens == {"m": 500.0}
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert queue.shown[1] == "the provider's queue is full: smaller batches, next try in 10 s"
    queue.room.took()
    queue.room.refused(Shipment(ROW, tokens=1_000.0), others=0)
    assert queue.waited_s() == 5


def test_the_largest_that_was_not_taken_counts_and_not_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one may be a rest of a few requests: half of it would be batches of one request."""
    queue = Room(monkeypatch)
    for others, (requests, tokens) in zip(
        (3, 2, 1, 0), [(100, 1_000.0), (100, 1_200.0), (1, 9.0), (3, 30.0)], strict=True
    ):
        queue.room.refused(Shipment(ROW._replace(requests=requests), tokens=tokens), others=others)
    assert queue.planner.most_tokens == {"m": 600.0}
    queue.waited_s()
    queue.room.refused(Shipment(ROW, tokens=500.0), others=0)
    assert queue.planner.most_tokens == {"m": 250.0}


def test_where_one_of_the_own_has_just_ended_the_size_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It filled the queue when the others were not taken; their replies come after its own."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), others=2)
    queue.room.took()
    queue.room.refused(Shipment(ROW, tokens=1_000.0), others=0)
    assert queue.planner.most_tokens == {}
    assert queue.waited_s() == 5
    queue.room.refused(Shipment(ROW, tokens=1_000.0), others=0)
    assert queue.planner.most_tokens == {"m": 500.0}


def test_a_batch_of_one_request_cannot_be_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a size guessed where none is known, as of a batch of an earlier execution."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW._replace(requests=1), tokens=1_000.0), others=0)
    queue.room.refused(Shipment(ROW), others=0)
    assert queue.planner.most_tokens == {}
    assert queue.shown[0] == "the provider's queue is full: next try in 5 s"


def test_nothing_waits_where_the_queue_was_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Room(monkeypatch).waited_s() == 0
