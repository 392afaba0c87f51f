"""What waits for the writer is bounded, and counted right whichever thread changes it."""

import pytest
from harness.checkpoints import answer, requests

from batchrun.checkpoint import queue
from batchrun.checkpoint.queue import Load, WriteQueue
from batchrun.checkpoint.totals import Extra

OUTCOMES = [answer(each) for each in requests(*"abcd")]


def test_what_was_put_is_taken_once_in_its_order() -> None:
    waiting = WriteQueue()
    for each in OUTCOMES:
        waiting.put(each)
    waiting.add(Extra("m", attempts=1))
    waiting.run("SELECT ?", 1)
    assert waiting.take() == Load(OUTCOMES, [("SELECT ?", (1,))], [Extra("m", attempts=1)], [], [])
    assert not any(waiting.take())


def test_what_could_not_be_written_comes_before_what_was_put_since() -> None:
    waiting = WriteQueue()
    waiting.put(OUTCOMES[0])
    waiting.put(OUTCOMES[1])
    failed = waiting.take()
    waiting.put(OUTCOMES[2])
    waiting.give_back(failed)
    assert waiting.take().outcomes == OUTCOMES[:3]


def test_a_queue_is_full_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = WriteQueue()
    monkeypatch.setattr(queue, "MAX_QUEUED", 2)
    waiting.put(OUTCOMES[0])
    assert waiting.has_room()
    waiting.put(OUTCOMES[1])
    assert not waiting.has_room()
    waiting.written(waiting.take())
    assert waiting.has_room()
    monkeypatch.setattr(queue, "MAX_QUEUED_BYTES", 10)
    waiting.put(OUTCOMES[2])
    assert not waiting.has_room()


def test_nothing_more_is_admitted_while_an_outcome_is_old_that_a_kill_would_lose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is put later counts from when it was put, also where the last commit was long ago."""
    now_s = 100.0
    monkeypatch.setattr(queue, "monotonic", lambda: now_s)
    waiting = WriteQueue()
    waiting.put(OUTCOMES[0])
    now_s += 0.99 * queue.MAX_AGE_S
    assert waiting.has_room()
    load = waiting.take()
    waiting.put(OUTCOMES[1])
    now_s += 0.02 * queue.MAX_AGE_S
    assert not waiting.has_room()
    waiting.written(load)
    assert waiting.has_room()
    now_s += queue.MAX_AGE_S
    assert not waiting.has_room()
    assert waiting.has_space()  # what a batch has answered is not lost by a kill, and a broken writer holds up nobody
    waiting.written(waiting.take())
    now_s += 10 * queue.MAX_AGE_S
    assert waiting.has_room()
    waiting.put(OUTCOMES[2])
    assert waiting.has_room()


def test_bytes_stay_in_the_queue_until_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken and not yet committed, they still use memory."""
    monkeypatch.setattr(queue, "MAX_QUEUED_BYTES", 10)
    waiting = WriteQueue()
    waiting.put(OUTCOMES[0])
    load = waiting.take()
    assert not waiting.has_room()
    waiting.written(load)
    assert waiting.has_room()


class Interrupting(bytes):
    """A body whose length is asked for in the middle of an addition; the writer commits at that moment."""

    waiting: WriteQueue
    load: Load | None = None

    def __len__(self) -> int:
        if self.load is not None:
            load, self.load = self.load, None
            self.waiting.written(load)
        return super().__len__()


def test_a_commit_in_the_middle_of_a_put_does_not_falsify_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One count that two threads change would forget one of the two changes, and drift until nothing is admitted."""
    monkeypatch.setattr(queue, "MAX_QUEUED_BYTES", 1)
    waiting = WriteQueue()
    waiting.put(OUTCOMES[0])
    body = Interrupting(b"answer")
    body.waiting, body.load = waiting, waiting.take()
    waiting.put(OUTCOMES[1]._replace(body=body))
    assert not waiting.has_room()
    waiting.written(waiting.take())
    assert waiting.has_room()
