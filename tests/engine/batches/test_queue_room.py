"""Waiting for room in the provider's queues, on a virtual clock."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from harness.clock import run_virtually

from batchrun.checkpoint.batch_tables import CREATED, UPLOADED, WAITING, BatchRow
from batchrun.engine.batches.queue_room import QueueRoom
from batchrun.engine.batches.shipment import Shipment

TAKES_S = 1_000.0
"""How long the provider takes for a batch."""


class Asked(NamedTuple):
    """A batch that comes at some time."""

    tokens: float = 100
    requests: int = 40
    model: str = "m"
    at_s: float = 0.0
    takes_s: float = TAKES_S


class Place:
    """A provider with queues of some tokens, and the batches of a run on their way to it."""

    def __init__(self, room: float, *, is_of_model: bool = True) -> None:
        self.room, self._is_of_model = room, is_of_model
        self._enqueued: dict[int, Shipment] = {}
        self.tried: list[int] = []
        """Numbers of the batches that were created."""
        self.ended_s: dict[int, float] = {}
        self.withdrawn: set[int] = set()
        self.shown: list[str] = []
        self.status: dict[int, str | None] = {}
        self._shipments: dict[int, Shipment] = {}
        self.planner: Any = SimpleNamespace(most_tokens={}, log=SimpleNamespace(note=self._note))
        self.queue = QueueRoom(self.planner, self._shipments, self.shown.append)

    def carry(
        self, *asked: Asked, for_s: float = 1e6, meanwhile: Sequence[tuple[float, Callable[[], None]]] = ()
    ) -> None:
        """Carry batches to their ends, numbered from 1, and do some things in between; stop after a time."""

        async def later(at_s: float, do: Callable[[], None]) -> None:
            await asyncio.sleep(at_s)
            do()

        async def main() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(for_s), asyncio.TaskGroup() as group:
                    for each in meanwhile:
                        group.create_task(later(*each))
                    for number, one in enumerate(asked, 1):
                        group.create_task(self._carry(number, one))

        run_virtually(main())

    async def _carry(self, number: int, asked: Asked) -> None:
        """Bring a batch to the provider and back, as the pool does."""
        await asyncio.sleep(asked.at_s + number / 1000)
        row = BatchRow(number, asked.model, "chat", UPLOADED, asked.requests, 0.0, 0.0, 0)
        shipment = self._shipments[number] = Shipment(row, asked.tokens)
        shipment.on_row = self.queue.seen
        while not await self._is_taken(shipment):
            if shipment.is_withdrawn or shipment.is_cancelled:
                self.withdrawn.add(number)
                break
            self.queue.refused(shipment, is_of_model=self._is_of_model)
        else:
            self._enqueued[number] = shipment
            shipment.become(shipment.row._replace(status="in_progress"))
            await asyncio.sleep(asked.takes_s)
            del self._enqueued[number]
            self.ended_s[number] = asyncio.get_running_loop().time()
        del self._shipments[number]
        if number in self.ended_s:
            self.queue.ended(asked.model)
        self.queue.look()

    async def _is_taken(self, shipment: Shipment) -> bool:
        async with self.queue.admitted(shipment):
            if shipment.is_withdrawn or shipment.is_cancelled:
                return False
            self.tried.append(shipment.row.id)
            shipment.become(shipment.row._replace(step=CREATED, status="validating"))
        await asyncio.sleep(1.0)
        model = shipment.row.model
        queue = [each for each in self._enqueued.values() if not self._is_of_model or each.row.model == model]
        return sum(each.tokens for each in queue) + shipment.tokens <= self.room

    def _note(self, row: BatchRow) -> None:
        self.status[row.id] = row.status


def test_a_batch_is_tried_again_when_another_one_has_ended_that_filled_the_queue() -> None:
    """The size of batches stays: smaller ones would find no more room."""
    place = Place(100)
    place.carry(*[Asked()] * 5)
    assert sorted(place.tried) == [1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (place.planner.most_tokens, len(place.ended_s)) == ({}, 5)
    waiting = "the provider's queue is full: batch {} waits until another one has ended"
    assert sorted(place.shown) == [waiting.format(number) for number in (2, 3, 4, 5)]


def test_batches_that_come_while_the_queue_is_full_wait_in_line_before_they_are_sent() -> None:
    place, seen = Place(100), []
    place.carry(Asked(), Asked(), Asked(at_s=10), meanwhile=[(20, lambda: seen.append(dict(place.status)))])
    assert seen == [{2: WAITING, 3: WAITING}]
    assert place.tried == [1, 2, 2, 3]
    assert place.status == {2: None, 3: None}


def test_room_that_other_runs_leave_is_found_and_few_batches_are_created_in_vain() -> None:
    """There is room for two batches at first, for eight later."""
    place = Place(200)
    place.carry(*[Asked()] * 100, meanwhile=[(500, lambda: setattr(place, "room", 800))])
    in_vain = len(place.tried) - 100
    assert in_vain <= 98 + 100 / 4  # at the beginning all are tried
    assert len(place.ended_s) == 100
    assert max(place.ended_s.values()) <= 1.3 * TAKES_S * 100 / 8


def test_where_none_of_the_own_is_in_it_all_that_fit_are_tried_one_after_the_other() -> None:
    """Other runs filled the queue, and have ended."""
    place = Place(0)
    place.carry(*[Asked(requests=1)] * 20, meanwhile=[(3, lambda: setattr(place, "room", 800))])
    assert sorted(place.ended_s.values())[7] < TAKES_S + 20
    assert len(place.ended_s) == 20


def test_a_queue_that_takes_none_gets_smaller_batches_and_later_each_time() -> None:
    """All that are larger are withdrawn, whichever was tried last: it may be a small rest."""
    place = Place(0)
    sizes = [(1_000, 40), (1_200, 40), (9, 1), (700, 40), (130, 3)]
    place.carry(*(Asked(tokens, requests) for tokens, requests in sizes), for_s=100_000)
    assert place.withdrawn == {1, 2, 4, 5}
    assert place.planner.most_tokens == {"m": 65}
    assert place.tried[:7] == [1, 2, 3, 4, 5, 3, 5]
    assert [text.rpartition(": ")[2] for text in place.shown[4:]][:8] == [
        "smaller batches, next try in 5 s",
        "next try in 10 s",
        "smaller batches, next try in 20 s",
        *(f"next try in {wait_s} s" for wait_s in (40, 80, 160, 320, 600)),
    ]
    assert place.shown[-1].endswith(": next try in 600 s")


def test_where_one_of_the_own_has_just_ended_the_size_stays() -> None:
    """It filled the queue when the other was not taken, whose reply comes after its own."""
    place = Place(100)
    place.carry(Asked(takes_s=0.5), Asked(at_s=0.9, tokens=101), for_s=3)
    assert place.shown == ["the provider's queue is full: next try in 5 s"]
    assert place.planner.most_tokens == {}
    place = Place(100)
    place.carry(Asked(takes_s=0.5), Asked(at_s=0.9, tokens=101), for_s=20)
    assert place.planner.most_tokens == {"m": 50.5}


def test_a_batch_whose_tokens_are_not_known_is_written_again_where_a_queue_takes_none() -> None:
    """One of an earlier execution: no size is guessed."""
    place = Place(-1)
    place.carry(Asked(tokens=0), Asked(tokens=0, requests=1), for_s=100)
    assert (place.withdrawn, place.planner.most_tokens) == ({1}, {})


def test_the_queue_of_a_model_does_not_wait_for_a_batch_of_another_one() -> None:
    """That one may take a day, and frees nothing."""
    place = Place(100)
    place.carry(Asked(model="other"), Asked(tokens=101), Asked(tokens=101, requests=1), for_s=600)
    assert place.planner.most_tokens == {"m": 50.5}
    assert place.withdrawn == {2}
    assert place.tried.count(3) > 5


def test_a_queue_that_may_be_of_all_models_waits_for_any_of_them() -> None:
    place = Place(100, is_of_model=False)
    place.carry(Asked(model="other"), Asked(), Asked(model="third", at_s=2))
    assert place.tried == [1, 2, 2, 3]
    assert place.planner.most_tokens == {}
    assert (place.ended_s[2], place.ended_s[3]) == pytest.approx((2 * TAKES_S, 3 * TAKES_S), abs=5)


def test_a_batch_that_is_cancelled_does_not_wait() -> None:
    place = Place(100)
    place.carry(Asked(), Asked(), for_s=20, meanwhile=[(10, lambda: place.queue.cancel("m"))])
    assert place.withdrawn == {2}
