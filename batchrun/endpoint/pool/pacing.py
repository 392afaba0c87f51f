"""Takes the requests of an endpoint one after the other, as the user's rates allow them.

The request that waits for its turn holds no slot. It can be taken away: another endpoint may have nothing to send, and
a rate of a few requests a minute would keep it waiting. The turn that it waited for is lost then.
"""

import asyncio
from collections.abc import Callable

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.gate import Gate


class Pacing:
    """The one request that waits for the rates of an endpoint."""

    def __init__(
        self,
        next_work: Callable[[], Work | None],
        start: Callable[[Work], None],
        *,
        on_waiting: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        """Begin.

        Args:
            next_work: returns what may be sent, or None.
            start: sends a request whose turn it is.
            on_waiting: called when a request begins to wait.
            on_idle: called when there is nothing to send.
        """
        self._next_work, self._start = next_work, start
        self._on_waiting, self._on_idle = on_waiting, on_idle
        self._to_look = asyncio.Event()
        self.waiting: Work | None = None
        """The request that waits; None without one."""

    def look(self) -> None:
        """Look again for something to send."""
        self._to_look.set()

    def take_back(self) -> Work | None:
        """Return the request that waits, which is not sent then; None without one."""
        work, self.waiting = self.waiting, None
        return work

    async def run(self, gate: Gate) -> None:
        """Send requests as the gate lets them through, until it is cancelled."""
        while True:
            self._to_look.clear()
            while (work := self._next_work()) is not None:
                self.waiting = work
                self._on_waiting()
                await gate.wait(work.request)
                if (due := self.take_back()) is not None:
                    self._start(due)
            self._on_idle()
            await self._to_look.wait()
