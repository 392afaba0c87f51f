"""A simulated endpoint in its own thread, with a ledger of the answered requests and their times."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from batchrun.simulator import Settings, serve
from batchrun.simulator.stats import Stats


class Ledger(Stats):
    """The counts of an endpoint, and the time of each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.bought: list[tuple[float, str]] = []
        """Time on the monotonic clock and fingerprint of each answered request, in order."""

    def bill(self, key: str, usage: dict[str, Any]) -> None:
        """Record an answer of the model."""
        super().bill(key, usage)
        self.bought.append((time.monotonic(), key))


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, Ledger]]:
    """Run an endpoint in its own thread; yield its base URL and its ledger."""
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()
    ledger = Ledger()
    urls: list[str] = []

    async def main() -> None:
        async with serve(settings) as simulator:
            simulator.stats = ledger
            urls.append(simulator.base_url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        if not ready.wait(50):  # a busy machine needs long for a thread too
            raise RuntimeError("the simulator does not start")
        yield urls[0], ledger
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
