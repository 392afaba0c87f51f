"""Tasks that take too long are cancelled, each after its own time."""

import asyncio
import time

import pytest

from batchrun.endpoint.http.deadlines import Deadlines

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


def test_each_task_has_its_own_time() -> None:
    """Although all share one timer: a later task is late later, and a task that ends in time is left alone."""
    ended: list[tuple[bool, float]] = []

    async def main() -> None:
        deadlines = Deadlines(0.05)
        tasks = []
        for takes_s in (NEVER_S, 0.001, NEVER_S):
            tasks.append(asyncio.create_task(attempt(deadlines, takes_s, ended)))
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
        tasks = [asyncio.create_task(attempt(deadlines, NEVER_S, ended))]  # the timer was idle
        await asyncio.gather(*tasks)
        deadlines.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [is_late for is_late, _ in ended] == [False, True, True, True]
    assert all(took_s >= 0.05 for is_late, took_s in ended if is_late)


def test_a_task_that_is_cancelled_from_outside_is_not_late() -> None:
    """So a run that stops at once does not count its requests as timeouts."""

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


def test_closed_deadlines_cancel_no_task() -> None:
    """Their client is closed."""

    async def main() -> None:
        deadlines = Deadlines(0.01)
        task = asyncio.create_task(asyncio.sleep(0.05))
        deadlines.begin(task, time.perf_counter())
        deadlines.close()
        await task

    asyncio.run(main())


def test_a_task_whose_time_restarts_is_due_after_the_others() -> None:
    """However often it restarts: it is not late, and it does not delay the others."""

    async def main() -> tuple[bool, bool]:
        deadlines = Deadlines(0.2)
        active, silent = (asyncio.create_task(asyncio.sleep(NEVER_S)) for _ in range(2))
        began_s = time.perf_counter()
        deadlines.begin(active, began_s)
        deadlines.begin(silent, began_s)
        deadlines.begin(active, began_s + NEVER_S)
        with pytest.raises(asyncio.CancelledError):
            await silent
        late = deadlines.end(silent), deadlines.end(active)
        active.cancel()
        deadlines.close()
        return late

    assert asyncio.run(asyncio.wait_for(main(), 10)) == (True, False)


def test_a_task_that_is_late_and_cancelled_from_outside_too_ends() -> None:
    """In the same turn of the loop: a run that is stopped must not continue with the next row."""

    async def main() -> tuple[bool, int]:
        deadlines = Deadlines(0.01)
        ended: list[bool] = []

        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            deadlines.begin(task, time.perf_counter())
            try:
                await asyncio.sleep(NEVER_S)
            finally:
                ended.append(deadlines.end(task))

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        while not deadlines._late:
            asyncio.get_running_loop().call_soon(lambda: None)
            await asyncio.sleep(0)
            if deadlines._late:
                task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadlines.close()
        return ended[0], task.cancelling()

    assert asyncio.run(asyncio.wait_for(main(), 10)) == (False, 1)


def test_after_a_standstill_all_tasks_get_a_little_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was suspended has not read the answers that arrived meanwhile."""
    ended: list[tuple[bool, float]] = []

    async def main() -> None:
        monkeypatch.setattr("batchrun.endpoint.http.deadlines._STALLED_S", 0.1)
        deadlines = Deadlines(0.05)
        task = asyncio.create_task(attempt(deadlines, 0.06, ended))
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  # nothing runs meanwhile
        await task
        deadlines.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [is_late for is_late, _ in ended] == [False]
