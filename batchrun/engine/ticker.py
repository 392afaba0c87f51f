"""Does what is due every few moments of a run: shows progress, writes run.json, shares the limit, stops in time."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TypeVar

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact
from batchrun.checkpoint.room import refuse_full
from batchrun.checkpoint.store import Store
from batchrun.engine.batches.overview import Overview
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.deadline import next_time_s, setting_text, stop_text
from batchrun.engine.endpoint_figures import endpoint_figures, pause_of, probe_in_s, slots_of, worker_figures
from batchrun.engine.flight import flight_s, flight_text, patience_note
from batchrun.engine.links import Links
from batchrun.engine.pools import AnyPool
from batchrun.engine.recent_rate import RecentRate
from batchrun.errors import BatchrunError, RunDirectoryError
from batchrun.job.sections import Job
from batchrun.prompts.count import output_rows, rows_left
from batchrun.prompts.source import Source
from batchrun.records import AT_END, Figures, ModelTotals, RowCount, Stop, summed
from batchrun.report.bar import TICK_S, Progress
from batchrun.results.prices import PriceOf, prices_in
from batchrun.results.used import stated

T = TypeVar("T")

_SAME_MS = 1000
"""Beginnings of a pause that are less apart are of the same pause."""

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
    pool: AnyPool
    store: Store
    links: Links
    progress: Progress
    began_s: float
    """When the sending began, on the monotonic clock: `max_duration` counts from here."""
    note_learned: Callable[[], None]
    """Records what is known of the endpoints and of the cost."""
    save: Callable[[], None]
    """Writes run.json."""
    fail: Callable[[BatchrunError], None]
    """Drains the run; the error is raised after that."""
    lost_before: tuple[int, int]
    """Workers that were lost in earlier executions, and the rows that they had."""
    saved_s: float = 0.0
    shared_s: float = 0.0
    total: RowCount | None = None
    _prices: PriceOf | None = None
    noted: dict[str, object] = field(default_factory=dict)
    """Facts that were recorded, by name."""
    recent_rate: RecentRate = field(default_factory=RecentRate)
    paused_since_ms: int | None = None
    """Since when the run is paused; Unix time."""
    drained_by_ms: int | None = None
    """Until when a run that stops waits at most; Unix time."""

    async def keep(self) -> None:
        """Watch the run until cancelled."""
        self._note_total(None)  # what an earlier execution noted may be of another input
        self._note_earlier_workers()
        try:
            await self._keep()
        finally:
            self._note_total(expected_rows(self.job, self.source, self.store))
            self._note_workers(has_ended=True)
            self._note(facts.WAITING, 0)
            self._note(facts.PROBE_AT, None)
            self._note(facts.RATE, None)
            self._note(facts.STOPPING, None)
            self._note(facts.DRAINED_BY, None)
            self.show_end()

    async def _keep(self) -> None:
        stop_at_s = self._stop_at_s()
        self._announce_stop(stop_at_s)
        while True:
            now_s = time.monotonic()
            if (why := self._over(stop_at_s, now_s)) is not None:
                self._stop(why)
            self.pool.look()
            self.progress.show(self._figures(now_s))
            if now_s - self.shared_s >= _SHARE_EVERY_S:
                self.shared_s = now_s
                self.note_learned()
                self.store.history.seen(_now_ms())
                if (total := expected_rows(self.job, self.source, self.store)) != self.total:
                    self._note_total(total)
                self._note(facts.WAITING, self.pool.waiting)
                self._note(facts.PROBE_AT, self._probe_at_ms())
                self._note(facts.RATE, self._rate())
                self._note(facts.STOPPING, self._stopping())
                self._note(facts.DRAINED_BY, self.drained_by_ms)
                self._note(facts.UNWANTED, self._unwanted())
                if noted := [each._asdict() for each in endpoint_figures(self.pool)]:
                    self._note(facts.ENDPOINTS_NOW, noted)
                self._note_workers()
                await self.links.share(self.pool)
                self._look_at_directory()
            if now_s - self.saved_s >= _SAVE_EVERY_S:
                self.saved_s = now_s
                await self._save()
            await asyncio.sleep(TICK_S)

    def show_end(self) -> None:
        """Show the figures of a run that sends nothing more."""
        self.progress.show(
            self._figures(time.monotonic())._replace(in_flight=0, pause=None, rate_per_s=None, stopping=None)
        )

    def _stop(self, why: str) -> None:
        """Drain the run because a deadline is over, and print once what it still waits for."""
        if self.pool.stopping is None:
            message = f"{why}; run the same command again to resume"
            self.pool.stop(Stop(kind="deadline", message=message, exit_code=5))
            self.progress.say(f"{why}: stopping: {flight_text(self.job, self.pool)}")

    def _announce_stop(self, stop_at_s: float) -> None:
        """Print when the run will stop, if it has a deadline, which may be tomorrow, or a short patience."""
        left_s = (self.job.limits.max_duration_s or inf) - (time.monotonic() - self.began_s)
        at_s = min(stop_at_s, time.time() + max(0.0, left_s))
        total = expected_rows(self.job, self.source, self.store)
        left = rows_left(total, summed(self.store.totals.values()).requests)
        if left == RowCount(0, is_exact=True):
            return
        if at_s < inf:
            self.progress.say(stop_text(at_s, time.time()))
        if (note := patience_note(self.job.limits)) is not None:
            self.progress.say(note)

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

    def _look_at_directory(self) -> None:
        """Drain when the run directory was deleted or moved, or its disk is nearly full: answers would be lost."""
        if self.pool.stopping is None and (self.pool.in_flight or self.pool.waiting):
            try:
                refuse_full(self.directory)
            except RunDirectoryError as problem:
                self.fail(problem)
        if not self.store.is_in_place:
            cure = "if it was moved, move it back and run the same command again; otherwise the last answers are lost"
            self.fail(RunDirectoryError(f"{self.directory}: was deleted or moved during the run; {cure}"))

    def _stop_at_s(self) -> float:
        """Return the Unix time of `stop_at`; not a monotonic one, because clocks may be corrected during the run."""
        stop_at = self.job.limits.stop_at
        return inf if stop_at is None else next_time_s(stop_at, time.time())

    def _note_total(self, total: RowCount | None) -> None:
        """Record how many rows there will be, for those who look at the run from outside."""
        self.total = total
        self.store.set_fact(facts.TOTAL, None if total is None else total.rows)
        self.store.set_fact(facts.IS_TOTAL_EXACT, total is not None and total.is_exact)

    def _note(self, fact: Fact[T], value: T | None) -> None:
        """Record a fact that changes while the run sends, for those who look at the run from outside."""
        if fact.name not in self.noted or value != self.noted[fact.name]:
            self.noted[fact.name] = value
            self.store.set_fact(fact, value)

    def _note_workers(self, *, has_ended: bool = False) -> None:
        """Record what is known of the workers of a cluster, and how many were lost over all executions."""
        if not isinstance(pool := self.pool, Driver):
            return
        workers = [each.at_end() for each in pool.workers] if has_ended else pool.workers
        self._note(facts.WORKERS_NOW, [each._asdict() for each in workers])
        self._note(facts.WORKERS_LOST, self.lost_before[0] + pool.lost)
        self._note(facts.PUT_BACK, self.lost_before[1] + pool.leases.put_back)

    def _note_earlier_workers(self) -> None:
        """Record that the workers of an earlier execution have ended: it may have died, and this one may have none."""
        if workers := self.store.fact(facts.WORKERS_NOW):
            self._note(facts.WORKERS_NOW, [each | AT_END for each in workers])

    def _over(self, stop_at_s: float, now_s: float) -> str | None:
        """Return which deadline is over; None when none is."""
        limits = self.job.limits
        if time.time() >= stop_at_s:
            return f"stop_at {limits.stop_at} has come"
        if limits.max_duration_s is not None and now_s - self.began_s >= limits.max_duration_s:
            return f"max_duration {setting_text(limits.max_duration_s)} is over"
        return None

    def _probe_at_ms(self) -> int | None:
        """Return when a paused endpoint is asked next, as a Unix time; None when it is not paused."""
        in_s = probe_in_s(self.pool)
        return None if in_s is None else _now_ms() + int(1000 * in_s)

    def _rate(self) -> float | None:
        """Return the rate of recent minutes; None when nothing more is sent, or only stragglers are waited for."""
        return None if self.pool.stopping is not None or self.pool.is_late else self.recent_rate.per_s

    def _stopping(self) -> str | None:
        """Return why the run sends nothing more, without the cure; None while it sends."""
        stop = self.pool.stopping
        if stop is None:
            return None
        self.drained_by_ms = self.drained_by_ms or _now_ms() + int(1000 * flight_s(self.job, self.pool))
        return stop.message.split("; ")[0]

    def _unwanted(self) -> int:
        """Return how many rows stay open because nothing more is sent to their model: not those of the rows' own."""
        closed, inputs = [each for each in self.pool.closed if each in self.job.models], self.source.input_rows
        if not closed or inputs is None:
            return 0
        wanted, totals = inputs.rows * self.job.model.num_samples, self.store.totals
        return sum(max(0, wanted - totals.get(each, ModelTotals()).requests) for each in closed)

    def _paused_since_ms(self, pause: str | None) -> int | None:
        """Return since when the run is paused; a rate that was exceeded is a pause since it was first seen."""
        if pause is None:
            return None
        before_ms = self.paused_since_ms
        away_s = self.pool.away_s if len(self.pool.routes) == 1 else None  # of several, one may be away for long
        since_ms = before_ms or _now_ms() if away_s is None else _now_ms() - int(1000 * away_s)
        is_same = before_ms is not None and abs(since_ms - before_ms) < _SAME_MS  # two clocks, read at two moments
        return before_ms if is_same else since_ms

    def _cost_usd(self) -> float:
        """Return what the answers have cost. The job and its prices stay the same while the run sends."""
        if self._prices is None:
            self._prices = prices_in(self.store, self.job)
        return stated(self._prices, self.store.parts).usd

    def _figures(self, now_s: float) -> Figures:
        pool = self.pool
        sums = summed(self.store.totals.values())
        stopping = self._stopping()
        pause = pause_of(pool) if stopping is None else None
        # While a rate is waited for, or another model answers, rows are settled all the time.
        self.recent_rate.add(now_s, sums.requests, is_paused=pool.is_away)
        self.paused_since_ms = self._paused_since_ms(pause)
        cap_usd = self.job.limits.max_cost_usd
        return Figures(
            done=sums.requests,
            total=expected_rows(self.job, self.source, self.store),
            failed=sums.failed,
            throttled=pool.throttled,
            tokens=sums.usage.total_tokens,
            in_flight=pool.in_flight,
            limit=min(self.job.limits.max_concurrency, slots_of(pool)),
            waiting=pool.waiting,
            pause=pause,
            paused_since_ms=self.paused_since_ms,
            probe_at_ms=self._probe_at_ms(),
            rate_per_s=self._rate(),
            cost_usd=None if cap_usd is None else self._cost_usd(),
            cap_usd=cap_usd,
            stopping=stopping,
            drained_by_ms=self.drained_by_ms,
            unwanted=self._unwanted(),
            endpoints=endpoint_figures(pool),
            workers=worker_figures(pool),
            batches=pool.batches if isinstance(pool, Overview) and not pool.is_resting else None,
        )


def _now_ms() -> int:
    return int(time.time() * 1000)


def expected_rows(job: Job, source: Source, store: Store) -> RowCount | None:
    """Return how many rows the results will have, as far as the input was read; None while nothing is known."""
    return output_rows(source.input_rows, job.per_row, summed(store.totals.values()).requests)
