"""The request that waits for a rate: it is sent in its turn, or taken away, and its turn is lost then."""

import asyncio
from collections import deque

from harness.clock import run_virtually
from harness.runs import rates_by_bytes, requests

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.gate import Gate
from batchrun.endpoint.pool.pacing import Pacing


def test_a_request_that_is_taken_away_is_not_sent_and_the_rate_is_kept() -> None:
    """At 60 a minute, one of them leaves each second; the second one is taken away before its turn."""
    sent: list[tuple[int, float]] = []
    works = deque(Work(request, 5) for request in requests(4))

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        pacing = Pacing(
            lambda: works.popleft() if works else None,
            lambda work: sent.append((work.request.row, round(clock() - began_s, 1))),
            on_waiting=lambda: None,
            on_idle=lambda: None,
        )
        task = asyncio.create_task(pacing.run(Gate(rates_by_bytes(60, None))))
        await asyncio.sleep(0.5)
        taken = pacing.take_back()
        assert taken is not None
        assert taken.request.row == 1
        assert pacing.waiting is None
        await asyncio.sleep(5)
        task.cancel()

    run_virtually(main())
    assert sent == [(0, 0.0), (2, 2.0), (3, 3.0)]
