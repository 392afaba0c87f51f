"""Has as many workers at work as there should be: nodes may join a cluster while a run sends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from batchrun.report.texts import counted

_COUNT_EVERY_S = 2.0
"""How often it is looked whether there should be more workers."""


async def fill_places(
    group: asyncio.TaskGroup,
    workers: Callable[[], int],
    fill_place: Callable[[int], Coroutine[Any, Any, None]],
    is_over: Callable[[], bool],
) -> None:
    """Keep a worker in each place until the run is over.

    Args:
        group: of the tasks.
        workers: returns how many there should be now; at least 1.
        fill_place: keeps one worker at work in a place, a number from 0, from the start to the end of the run.
        is_over: whether nothing is left to be done.
    """
    places, filled = 0, set[asyncio.Task[None]]()
    while filled or not places:
        while places < workers() and not (places and is_over()):
            filled.add(group.create_task(fill_place(places)))
            places += 1
        done, filled = await asyncio.wait(filled, timeout=_COUNT_EVERY_S)
        for task in done:
            task.result()


def lost_text(place: int, node: str, rows: int, why: str, *, is_stopping: bool) -> str:
    """Return the line of the log for a worker that has died; `why` is empty where that is not known.

    Where the run is stopping, nobody takes its place or its rows.
    """
    where, because = f" on {node}" if node else "", f" ({why})" if why else ""
    its = f"its {counted(rows, 'row')}"
    left = (f"; {its} stay open" if is_stopping else f"; {its} go to others") if rows else ""
    instead = "" if is_stopping else ", and another one is started in its place"
    return f"worker {place + 1}{where} has died{because}{left}{instead}"
