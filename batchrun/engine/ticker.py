"""Does what is due every few moments of a run: shows progress, writes run.json, shares the limit, stops in time."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.pool import Pool
from batchrun.engine.deadline import next_time_s, stop_text
from batchrun.engine.shared_limit import LimitMemory, Share
from batchrun.errors import BatchrunError, RunDirectoryError
from batchrun.job.sections import Job
from batchrun.prompts.count import output_rows, rows_left
from batchrun.prompts.source import Source
from batchrun.records import Figures, RowCount, Stop, summed
from batchrun.report.bar import TICK_S, Progress

_SAVE_EVERY_S = 5.0
"""How often run.json is written."""

_SHARE_EVERY_S = 1.0
"""How often runs of one project look at each other."""


@dataclass(kw_only=True)
class Watch:
    """What is watched, and when something was done last."""

    job: Job
    directory: Path
    source: Source
    pool: Pool
    store: Store
    memory: LimitMemory
    progress: Progress
    began_s: float
    note_limit: Callable[[], None]
    """Adds the limit to its history."""
    save: Callable[[], None]
    """Writes run.json."""
    fail: Callable[[BatchrunError], None]
    """Drains the run; the error is raised after that."""
    saved_s: float = 0.0
    shared_s: float = 0.0
    total: RowCount | None = None
    waiting: int | None = None

    async def keep(self) -> None:
        """Watch the run until cancelled."""
        self._note_total(None)  # what an earlier execution noted may be of another input
        try:
            await self._keep()
        finally:
            self._note_total(expected_rows(self.job, self.source, self.store))
            self._note_waiting(0)

    async def _keep(self) -> None:
        stop_at_s = self._stop_at_s()
        self._announce_stop(stop_at_s)
        while True:
            now_s = time.monotonic()
            if time.time() >= stop_at_s or now_s - self.began_s >= (self.job.limits.max_duration_s or inf):
                message = "the deadline was reached; run the same command again to resume"
                self.pool.stop(Stop(kind="deadline", message=message, exit_code=5))
            self.progress.show(self._figures())
            if now_s - self.shared_s >= _SHARE_EVERY_S:
                self.shared_s = now_s
                self.note_limit()
                if (total := expected_rows(self.job, self.source, self.store)) != self.total:
                    self._note_total(total)
                self._note_waiting(self.pool.waiting)
                await self._share()
                self._look_for_directory()
            if now_s - self.saved_s >= _SAVE_EVERY_S:
                self.saved_s = now_s
                self.store.history.seen(int(time.time() * 1000))
                await self._save()
            await asyncio.sleep(TICK_S)

    def _announce_stop(self, stop_at_s: float) -> None:
        """Print when the run will stop, if it has a deadline: a time of day may be tomorrow's."""
        elapsed_s = time.monotonic() - self.began_s
        at_s = min(stop_at_s, time.time() + (self.job.limits.max_duration_s or inf) - elapsed_s)
        total = expected_rows(self.job, self.source, self.store)
        left = rows_left(total, summed(self.store.totals.values()).requests)
        if at_s < inf and left != RowCount(0, is_exact=True):
            self.progress.say(stop_text(at_s, time.time()))

    async def _save(self) -> None:
        """Write run.json. If cancelled meanwhile, wait anyway: the file of the run's end must be written after it."""
        saving = asyncio.ensure_future(asyncio.to_thread(self.save))
        try:
            with contextlib.suppress(RunDirectoryError):  # reported at the end, when it is written again
                await asyncio.shield(saving)
        except asyncio.CancelledError:
            with contextlib.suppress(RunDirectoryError):
                await saving
            raise

    def _look_for_directory(self) -> None:
        """Drain when the run directory was deleted or moved: answers that are written to a lost file are lost."""
        if not self.store.is_in_place:
            cure = "if it was moved, move it back and run the same command again; otherwise the last answers are lost"
            self.fail(RunDirectoryError(f"{self.directory}: was deleted or moved during the run; {cure}"))

    def _stop_at_s(self) -> float:
        """Return the Unix time of `stop_at`; not a monotonic one, because clocks may be corrected during the run."""
        stop_at = self.job.limits.stop_at
        return inf if stop_at is None else next_time_s(stop_at, time.time())

    async def _share(self) -> None:
        """Write for the other runs of this project what this one uses of the limit, and leave them their share."""
        limit = self.pool.limit
        own = Share(self.pool.in_flight, wants_more=self.pool.has_more and self.pool.in_flight < limit.ceiling)
        limit.cap(await asyncio.to_thread(self.memory.share, own), asyncio.get_running_loop().time())

    def _note_total(self, total: RowCount | None) -> None:
        """Record how many rows there will be, for those who look at the run from outside."""
        self.total = total
        self.store.set_fact(facts.TOTAL, None if total is None else total.rows)
        self.store.set_fact(facts.IS_TOTAL_EXACT, total is not None and total.is_exact)

    def _note_waiting(self, waiting: int) -> None:
        """Record how many requests wait to be sent again, for those who look at the run from outside."""
        if waiting != self.waiting:
            self.waiting = waiting
            self.store.set_fact(facts.WAITING, waiting)

    def _figures(self) -> Figures:
        pool = self.pool
        sums = summed(self.store.totals.values())
        return Figures(
            done=sums.requests,
            total=expected_rows(self.job, self.source, self.store),
            failed=sums.failed,
            throttled=pool.throttled,
            tokens=sums.total_tokens,
            in_flight=pool.in_flight,
            limit=pool.limit.current,
            waiting=pool.waiting,
            pause=pool.trouble,
        )


def expected_rows(job: Job, source: Source, store: Store) -> RowCount | None:
    """Return how many rows the results will have, as far as the input was read; None while nothing is known."""
    return output_rows(source.input_rows, job.per_row, summed(store.totals.values()).requests)
