"""The effect of an interruption in each phase of an execution."""

import asyncio
from pathlib import Path

import pytest

from batchrun.engine.interruption import ENDED, PREPARING, SENDING, UPLOADING, WRITING, Interruption, Phase
from batchrun.records import Stop

STOP = Stop(kind="interrupted", message="m", exit_code=130)
LATER = Stop(kind="interrupted", message="m", exit_code=143)


@pytest.mark.parametrize(
    ("phase", "is_drained"), [(PREPARING, False), (SENDING, True), (WRITING, False), (UPLOADING, False)]
)
def test_an_interruption_is_kept_in_every_phase_and_drains_only_what_is_sent(phase: Phase, is_drained: bool) -> None:
    """The message names what the run waits for."""
    messages: list[str] = []
    drained: list[Stop] = []
    interruption = Interruption()
    interruption.drain_by(drained.append, lambda: "waiting for 5 answers in flight, for at most 9 min")
    with interruption.reporting_loss(Path("runs/a"), messages.append):
        interruption.phase = phase
        interruption.interrupt(STOP)
    assert (interruption.stop, interruption.is_requested) == (STOP, True)
    assert messages == [phase.waiting.format(flight="waiting for 5 answers in flight, for at most 9 min")]
    assert drained == [STOP] * is_drained


def test_a_signal_is_named() -> None:
    messages: list[str] = []
    interruption = Interruption()
    with interruption.reporting_loss(Path("runs/a"), messages.append):
        interruption.interrupt(Stop(kind="interrupted", message="m", exit_code=143, signal="SIGTERM"))
    assert messages == [f"SIGTERM: {PREPARING.waiting}"]


def test_the_first_interruption_counts() -> None:
    """Its signal determines the exit code."""
    interruption = Interruption()
    interruption.interrupt(STOP)
    interruption.interrupt(LATER)
    assert interruption.stop == STOP


def test_a_run_that_is_interrupted_before_it_sends_is_drained_as_it_begins() -> None:
    """Nothing is sent."""
    drained: list[Stop] = []
    interruption = Interruption()
    interruption.interrupt(STOP)
    interruption.drain_by(drained.append)
    assert drained == [STOP]


def test_a_cancelled_execution_prints_what_is_lost_and_the_cure() -> None:
    """Only in the phase that was cut short."""
    messages: list[str] = []
    interruption = Interruption()
    interruption.phase = WRITING
    with pytest.raises(asyncio.CancelledError), interruption.reporting_loss(Path("runs/a"), messages.append):
        raise asyncio.CancelledError
    assert interruption.phase is ENDED
    assert messages == [
        "the results were not written, all answers are in the checkpoint; write them: batchrun export runs/a"
    ]


def test_an_execution_that_is_cancelled_before_it_sends_loses_nothing() -> None:
    """So it prints nothing: no answers are in flight."""
    messages: list[str] = []
    interruption = Interruption()
    with pytest.raises(asyncio.CancelledError), interruption.reporting_loss(Path("runs/a"), messages.append):
        raise asyncio.CancelledError
    assert messages == []


def test_an_execution_that_has_ended_cannot_be_interrupted() -> None:
    """What follows it, such as publishing, handles the signal."""
    messages: list[str] = []
    interruption = Interruption()
    interruption.drain_by(lambda reason: pytest.fail("drained"))
    with interruption.reporting_loss(Path("runs/a"), messages.append):
        pass
    assert interruption.phase is ENDED
    interruption.interrupt(STOP)
    assert (interruption.stop, interruption.is_requested, messages) == (None, True, [])
