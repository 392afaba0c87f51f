"""One request on the server: its slot in the project's limit, and its reply, cut where its plan says so."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from aiohttp import web

from batchrun.simulator.delivery import Plan
from batchrun.simulator.gate import rejected
from batchrun.simulator.limits import InFlight
from batchrun.simulator.stats import Stats


class Visit:
    """A request that is being served. The code that makes it must call `leave` at the end, also after errors."""

    def __init__(self, request: web.Request, stats: Stats, in_flight: InFlight) -> None:
        self.request = request
        self.project = request.headers.get("OpenAI-Project", "")
        self.was_cut = False
        self._stats = stats
        self._in_flight = in_flight
        self._admitted_s: float | None = None
        self._left = False
        stats.enter()

    def admit(self, limit: int | None) -> None:
        """Take a slot of the project, or raise a 429."""
        if not self._in_flight.enter(self.project, limit):
            self._stats.rejected["concurrency"] += 1
            raise rejected("429")
        self._admitted_s = time.monotonic()

    def leave(self) -> None:
        """Give the slot back; a second call does nothing."""
        if self._left:
            return
        self._left = True
        self._stats.in_flight -= 1
        if self._admitted_s is not None:
            self._stats.slot_s += time.monotonic() - self._admitted_s
            self._in_flight.leave(self.project)

    async def send(self, plan: Plan, content_type: str) -> web.StreamResponse:
        """Write a reply as its plan says.

        The slot is freed before the last piece is written. Otherwise a client that reads the end of an answer and
        sends its next request immediately could be rejected because of the finished one.
        """
        if content_type == "application/json" and len(plan.pieces) == 1 and not plan.cut:
            # aiohttp sends it after the handler returns, in one packet: the usual case, three times as fast.
            return web.Response(body=plan.pieces[0], content_type=content_type)
        response = web.StreamResponse()
        response.content_type = content_type
        response.content_length = plan.length
        await response.prepare(self.request)
        for piece in plan.pieces[:-1]:
            await response.write(piece)
            if plan.wait_s:
                await asyncio.sleep(plan.wait_s)
        self.leave()
        if plan.cut:
            await response.write(plan.pieces[-1])
            await self.cut_off()
        await response.write_eof(plan.pieces[-1])
        return response

    async def cut_off(self) -> NoReturn:
        """Close the connection in the middle of the reply; what was already written is still sent."""
        self.was_cut = True
        if self.request.transport is not None:
            self.request.transport.close()
        await silence()


async def silence() -> NoReturn:
    """Wait until the client disconnects, which cancels the handler."""
    await asyncio.Event().wait()
    raise AssertionError("this event is never set")
