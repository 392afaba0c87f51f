"""Only steps that hang in a file system are reported."""

import threading
from pathlib import Path

import pytest

from batchrun.storage import slow
from batchrun.storage.slow import reported_when_slow


def test_a_step_that_hangs_is_reported_while_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the step, the place and what to check."""
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.01)
    messages: list[str] = []
    reported = threading.Event()

    def say(message: str) -> None:
        messages.append(message)
        reported.set()

    with reported_when_slow("the lock", Path("/mnt/run"), say):
        assert reported.wait(10)
    assert len(messages) == 1
    assert "still waiting for the lock after 0.01 s: the file system of /mnt/run " in messages[0]
    assert "check that it is mounted" in messages[0]


def test_a_step_that_ends_or_fails_is_not_reported_and_leaves_no_timer() -> None:
    before = threading.active_count()
    messages: list[str] = []
    with reported_when_slow("the lock", "here", messages.append):
        assert threading.active_count() == before + 1
    with pytest.raises(KeyError), reported_when_slow("the lock", "here", messages.append):
        raise KeyError
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)
    assert threading.active_count() == before
    assert messages == []


def test_a_remote_place_gets_another_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is not mounted: the message asks to check the address."""
    monkeypatch.setattr(slow, "SLOW_AFTER_S", 0.01)
    messages: list[str] = []
    reported = threading.Event()
    with reported_when_slow("the first rows", "s3://bkt/in", lambda each: (messages.append(each), reported.set())[1]):
        assert reported.wait(10)
    assert ": s3://bkt/in is slow or does not answer; check the address and the network" in messages[0]
