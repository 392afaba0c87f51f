"""Workers that find no room, or die before they have started, are waited for, and reported truthfully."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness.clock import run_virtually

from batchrun.engine.cluster.hiring import Hiring
from batchrun.engine.cluster.post import WorkerDied, WorkerUnavailable
from batchrun.errors import JobError


class Starting:
    """A worker whose start does what a test wants."""

    def __init__(self, start: Callable[["Starting"], Awaitable[str]]) -> None:
        self._start = start
        self.node = ""
        self.is_killed = False

    async def open(self) -> str:
        """Start."""
        return await self._start(self)

    async def exchange(self, orders: Any) -> Any:
        """Do nothing."""

    def nudge(self) -> None:
        """Do nothing."""

    def kill(self) -> None:
        """Note it."""
        self.is_killed = True


class Trial:
    """Starts workers in places until a time, on the virtual clock."""

    def __init__(self, start: Callable[[Starting], Awaitable[str]], room: str = "") -> None:
        self.lines: list[tuple[float, str]] = []
        self.handles: list[Starting] = []
        self._start, self._room = start, room

    def hired(self, places: int, over_s: float = 1_000) -> list[Any]:
        """Return what each place got."""

        async def main() -> list[Any]:
            now_s = asyncio.get_running_loop().time
            hiring = Hiring(
                self._hire, say=lambda text: self.lines.append((now_s(), text)), now_s=now_s, room=lambda: self._room
            )

            async def hired(place: int) -> Any:
                await asyncio.sleep(0.002 * place)  # hiring takes a moment
                return await hiring.hired(place, lambda: now_s() > over_s)

            found = await asyncio.gather(*map(hired, range(places)))
            assert hiring.nodes == {}
            return found

        return run_virtually(main())

    def _hire(self, place: int) -> Starting:
        self.handles.append(Starting(self._start))
        return self.handles[-1]


def test_workers_that_do_not_start_are_reported_once_with_the_room_that_there_is() -> None:
    """After ten seconds; they start when there is room."""

    async def start(handle: Starting) -> str:
        await asyncio.sleep(60)
        handle.node = "n"
        return "one"

    trial = Trial(start, "each needs 1 processor, and 0 of the 2 of the cluster are free")
    assert [each[1] for each in trial.hired(3)] == ["one"] * 3
    ((at_s, text),) = trial.lines
    assert 10 <= at_s <= 11
    assert text == (
        "note: 3 workers have not started yet; each needs 1 processor, and 0 of the 2 of the cluster are free"
    )


def test_workers_that_die_before_they_start_are_started_again_ever_more_slowly() -> None:
    """And each death is reported."""

    async def start(handle: Starting) -> str:
        await asyncio.sleep(1)
        if len(trial.handles) < 6:
            raise WorkerDied("no memory" if len(trial.handles) == 1 else "")
        return "sixth"

    trial = Trial(start)
    ((handle, incarnation),) = trial.hired(1)
    assert incarnation == "sixth"
    assert handle is trial.handles[-1]
    assert [each.is_killed for each in trial.handles] == [True] * 5 + [False]
    assert len(trial.lines) == 5
    assert trial.lines[-1][0] > 5
    assert trial.lines[0][1].startswith("worker 1 has died before it could start (no memory), and another")
    assert trial.lines[1][1].startswith("worker 1 has died before it could start, and another")


def test_a_start_whose_answer_is_lost_is_asked_for_again() -> None:
    """The worker is the same."""
    tries = iter([WorkerUnavailable(), WorkerUnavailable(), None])

    async def start(handle: Starting) -> str:
        if (problem := next(tries)) is not None:
            raise problem
        return "one"

    trial = Trial(start)
    assert trial.hired(1) == [(trial.handles[0], "one")]
    assert not trial.handles[0].is_killed


def test_a_run_that_ends_first_waits_for_no_worker() -> None:
    """What was about to start is ended."""

    async def start(handle: Starting) -> str:
        await asyncio.Event().wait()
        return ""

    trial = Trial(start)
    assert trial.hired(1, over_s=3) == [None]
    assert trial.handles[0].is_killed


def test_what_keeps_workers_from_starting_is_raised() -> None:
    """Such as another version on a node."""

    async def start(handle: Starting) -> str:
        raise JobError("node n has another version")

    trial = Trial(start)
    with pytest.raises(JobError, match="another version"):
        trial.hired(1)
    assert trial.handles[0].is_killed
