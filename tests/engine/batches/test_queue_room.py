"""Waiting for room in the provider's queue, on a virtual clock."""

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import CREATED, BatchRow
from batchrun.engine.batches import queue_room
from batchrun.engine.batches.queue_room import QueueRoom
from batchrun.engine.batches.shipment import Shipment

ROW = BatchRow(7, "m", "chat", CREATED, 40, 0.0, 0.0, 0)
OTHERS = ("m",)


class Room:
    """A queue room with its clock, and what it has shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.shown: list[str] = []
        self.under_way: tuple[str, ...] = ()
        self.planner: Any = SimpleNamespace(most_tokens={})
        self.room = QueueRoom(self.planner, self.shown.append)
        monkeypatch.setattr(queue_room.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(queue_room.asyncio, "sleep", self._sleep)

    async def _sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def waited_s(self) -> float:
        before_s = self.now_s
        asyncio.run(self.room.wait(self.under_way))
        return self.now_s - before_s


def test_while_others_are_under_way_one_that_ends_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of batches stays: it is the others that fill the queue."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), OTHERS, is_of_model=False)
    assert queue.planner.most_tokens == {}
    assert (queue.room.full, queue.room.due_in_s(OTHERS)) == ({"m"}, math.inf)
    assert queue.shown == ["the provider's queue is full: batch 7 waits until another one has ended"]
    queue.room.took("m")
    assert queue.room.due_in_s(OTHERS) == 0
    assert queue.waited_s() == 0
    assert not queue.room.full


def test_alone_the_next_batches_have_half_the_tokens_and_come_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Room(monkeypatch)
    waits = []
    for _ in range(10):
        queue.room.refused(Shipment(ROW, tokens=1_000.0), (), is_of_model=False)
        waits.append(queue.waited_s())
    assert queue.planner.most_tokens == {"m": 500.0}
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert queue.shown[1] == "the provider's queue is full: smaller batches, next try in 10 s"
    queue.room.took("m")
    queue.room.refused(Shipment(ROW, tokens=1_000.0), (), is_of_model=False)
    assert queue.waited_s() == 5


def test_the_largest_that_was_not_taken_counts_and_not_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one may be a rest of a few requests: half of it would be batches of one request."""
    queue = Room(monkeypatch)
    for others, (requests, tokens) in zip(
        (3, 2, 1, 0), [(100, 1_000.0), (100, 1_200.0), (1, 9.0), (3, 30.0)], strict=True
    ):
        queue.room.refused(
            Shipment(ROW._replace(requests=requests), tokens=tokens), OTHERS if others else (), is_of_model=False
        )
    assert queue.planner.most_tokens == {"m": 600.0}
    queue.waited_s()
    queue.room.refused(Shipment(ROW, tokens=500.0), (), is_of_model=False)
    assert queue.planner.most_tokens == {"m": 250.0}


def test_where_one_of_the_own_has_just_ended_the_size_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It filled the queue when the others were not taken; their replies come after its own."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), OTHERS, is_of_model=False)
    queue.room.took("m")
    queue.room.refused(Shipment(ROW, tokens=1_000.0), (), is_of_model=False)
    assert queue.planner.most_tokens == {}
    assert queue.waited_s() == 5
    queue.room.refused(Shipment(ROW, tokens=1_000.0), (), is_of_model=False)
    assert queue.planner.most_tokens == {"m": 500.0}


def test_a_batch_of_one_request_cannot_be_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a size guessed where none is known, as of a batch of an earlier execution."""
    queue = Room(monkeypatch)
    queue.room.refused(Shipment(ROW._replace(requests=1), tokens=1_000.0), (), is_of_model=False)
    queue.room.refused(Shipment(ROW), (), is_of_model=False)
    assert queue.planner.most_tokens == {}
    assert queue.shown[0] == "the provider's queue is full: next try in 5 s"


def test_nothing_waits_where_the_queue_was_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Room(monkeypatch).waited_s() == 0


def test_a_queue_that_is_too_small_does_not_wait_for_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the provider has one for each model: a batch of another may take a day, and frees nothing."""
    queue = Room(monkeypatch)
    queue.under_way = ("other",)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), queue.under_way, is_of_model=True)
    assert queue.planner.most_tokens == {"m": 500.0}
    assert queue.shown == ["the provider's queue is full: smaller batches, next try in 5 s"]
    assert queue.room.due_in_s(queue.under_way) == 5
    queue.room.took("other")
    assert queue.room.due_in_s(queue.under_way) == 5
    assert queue.waited_s() == 0
    assert queue.planner.full == {"m"}
    queue.now_s += 5
    assert queue.room.due_in_s(queue.under_way) == 0
    queue.waited_s()
    assert queue.planner.full == set()


def test_a_queue_that_may_be_of_all_models_waits_for_any_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller batches would find no more room in it."""
    queue = Room(monkeypatch)
    queue.under_way = ("other",)
    queue.room.refused(Shipment(ROW, tokens=1_000.0), queue.under_way, is_of_model=False)
    assert queue.planner.most_tokens == {}
    assert queue.room.is_shared
    assert queue.room.due_in_s(queue.under_way) == math.inf
    queue.room.took("other")
    assert queue.room.due_in_s(queue.under_way) == 0


def test_a_wait_ends_when_the_queue_is_to_be_tried_again() -> None:
    """A batch of another model may end much later."""

    async def waited() -> bool:
        changed = asyncio.Event()
        planner: Any = SimpleNamespace(most_tokens={})
        room = QueueRoom(planner, lambda text: None)
        room.refused(Shipment(ROW, tokens=1_000.0), ["other"], is_of_model=True)
        await asyncio.wait_for(room.changed_or_due(changed, ["other"]), 10)
        return not room.due_in_s(["other"])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue_room, "_FIRST_S", 0.01)
        assert asyncio.run(waited())
