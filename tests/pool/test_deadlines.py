"""Tasks that take too long are cancelled, each when its own time is over."""

import asyncio
import time

import pytest

from batchrun.pool.deadlines import Deadlines

NEVER_S = 3600


async def attempt(deadlines: Deadlines, takes_s: float, ended: list[tuple[bool, float]]) -> None:
    task = asyncio.current_task()
    assert task is not None
    began_s = time.perf_counter()
    deadlines.begin(task, began_s)
    try:
        await asyncio.sleep(takes_s)
    except asyncio.CancelledError:
        pass
    finally:
        ended.append((deadlines.end(task), time.perf_counter() - began_s))
    assert task.cancelling() == 0


def test_each_has_its_own_time() -> None:
    """Though there is one timer: those that began later are late later, those that end in time are left alone."""
    ended: list[tuple[bool, float]] = []

    async def main() -> None:
        deadlines = Deadlines(0.05)
        tasks = []
        for takes_s in (NEVER_S, 0.001, NEVER_S):
            tasks.append(asyncio.create_task(attempt(deadlines, takes_s, ended)))
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
        tasks = [asyncio.create_task(attempt(deadlines, NEVER_S, ended))]  # the timer had come to rest
        await asyncio.gather(*tasks)
        deadlines.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [is_late for is_late, _ in ended] == [False, True, True, True]
    assert all(took_s >= 0.05 for is_late, took_s in ended if is_late)


def test_a_task_that_somebody_else_cancels_is_not_late() -> None:
    """So that a run that is stopped at once does not take its requests for timeouts."""

    async def main() -> bool:
        deadlines = Deadlines(NEVER_S)
        task = asyncio.create_task(asyncio.sleep(NEVER_S))
        deadlines.begin(task, time.perf_counter())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadlines.close()
        return deadlines.end(task)

    assert asyncio.run(main()) is False


def test_a_closed_one_cancels_nobody() -> None:
    """Its client is gone."""

    async def main() -> None:
        deadlines = Deadlines(0.01)
        task = asyncio.create_task(asyncio.sleep(0.05))
        deadlines.begin(task, time.perf_counter())
        deadlines.close()
        await task

    asyncio.run(main())
