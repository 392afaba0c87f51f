"""Has workers started: waits for room, tries again where one dies before it has started, and reports both."""

import asyncio
from collections.abc import Callable

from batchrun.engine.cluster.post import Handle, WorkerDied, WorkerUnavailable
from batchrun.report.texts import counted

_LOOK_EVERY_S = 0.5

_NOTE_AFTER_S = 10.0
"""How long workers take to start until that is reported: there may be no room for them."""

AGAIN_S, _SLOWEST_S = 0.1, 30.0
"""Time until the next worker is started in the place of a dead one: at first, and after many that did not start."""


class Hiring:
    """Starts workers, and knows which ones are being started."""

    def __init__(
        self,
        hire: Callable[[int], Handle],
        *,
        say: Callable[[str], None],
        now_s: Callable[[], float],
        room: Callable[[], str],
    ) -> None:
        """Begin without workers.

        Args:
            hire: starts a worker in a place, a number from 0; it is called again when that one died.
            say: takes a line of the log.
            now_s: the clock.
            room: returns what each worker needs and what is free of it, for people; empty: nothing is needed.
        """
        self._hire, self._say, self._now_s, self._room = hire, say, now_s, room
        self._waits: dict[int, tuple[Handle, float]] = {}  # by place, since when
        self._noted: set[int] = set()  # places whose wait was reported

    @property
    def nodes(self) -> dict[int, str]:
        """The places whose worker is being started, and its node; empty while it has none."""
        return {place: handle.node for place, (handle, _) in self._waits.items()}

    async def hired(self, place: int, is_over: Callable[[], bool]) -> tuple[Handle, str] | None:
        """Return a worker that has started, and its incarnation; None: the run was over first.

        Raises what keeps workers from starting at all, such as another version on a node.
        """
        again_s = AGAIN_S
        while not is_over():
            handle = self._hire(place)
            self._waits[place] = handle, self._now_s()
            incarnation = None
            try:
                incarnation = await self._opened(handle, is_over)
                if incarnation is not None:
                    self._noted.discard(place)
                    return handle, incarnation
            except WorkerDied as death:
                again_s = min(2 * again_s, _SLOWEST_S)
                why = f" ({death})" if str(death) else ""
                self._say(
                    f"worker {place + 1} has died before it could start{why}, and another one is started in its place"
                )
                await asyncio.sleep(again_s)
            finally:
                del self._waits[place]
                if incarnation is None:
                    handle.kill()
        return None

    async def _opened(self, handle: Handle, is_over: Callable[[], bool]) -> str | None:
        """Wait for a worker, for which there may be no room until a node joins; None: the run is over."""
        opening = asyncio.ensure_future(_open(handle))
        try:
            while not is_over():
                done, _ = await asyncio.wait((opening,), timeout=_LOOK_EVERY_S)
                if done:
                    return opening.result()
                self._note_late()
            return None
        finally:
            opening.cancel()

    def _note_late(self) -> None:
        """Report workers that have not started for long, all at once and once each."""
        limit_s = self._now_s() - _NOTE_AFTER_S
        late = self._waiting_since(limit_s)
        if late - self._noted:
            late = self._waiting_since(limit_s + _LOOK_EVERY_S)  # those hired a moment later too, in the same line
            self._noted |= late
            have = "has" if len(late) == 1 else "have"
            room = f"; {text}" if (text := self._room()) else ""
            self._say(f"note: {counted(len(late), 'worker')} {have} not started yet{room}")

    def _waiting_since(self, at_s: float) -> set[int]:
        return {place for place, (_, since_s) in self._waits.items() if since_s < at_s}


async def _open(handle: Handle) -> str:
    while True:
        try:
            return await handle.open()
        except WorkerUnavailable:
            await asyncio.sleep(AGAIN_S)
