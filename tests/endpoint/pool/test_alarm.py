"""A timer rings once, at the earliest time."""

import asyncio

import pytest
from harness.clock import run_virtually

from batchrun.endpoint.pool.alarm import Alarm


@pytest.mark.parametrize(("times_s", "rung_s"), [((5.0, 3.0, 9.0), [3.0]), ((3.0, 5.0), [3.0]), ((), [])])
def test_it_rings_at_the_earliest_time(times_s: tuple[float, ...], rung_s: list[float]) -> None:
    """And can be set again after that; one that is cancelled does not ring."""

    async def main() -> list[float]:
        loop, rung = asyncio.get_running_loop(), list[float]()
        began_s = loop.time()
        alarm = Alarm(lambda: rung.append(round(loop.time() - began_s, 3)))
        for each in times_s:
            alarm.set(began_s + each)
        await asyncio.sleep(20)
        alarm.set(began_s + 30)
        await asyncio.sleep(20)
        alarm.set(began_s + 50)
        alarm.cancel()
        await asyncio.sleep(20)
        return rung

    assert run_virtually(main()) == [*rung_s, 30.0]
