"""The sending of one execution: unsettled rows go into the pool, outcomes into the checkpoint, events to the user."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from batchrun.checkpoint import facts
from batchrun.endpoint.pool.budget import Amount
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rules import Listeners
from batchrun.engine.bad_rows import outcome_of
from batchrun.engine.batches.pool import BatchPool
from batchrun.engine.ending import ended_as, ended_by, with_drained
from batchrun.engine.flight import flight_text
from batchrun.engine.interruption import Interruption
from batchrun.engine.links import Links
from batchrun.engine.node_pauses import end_pauses, is_of_several_nodes, note_node
from batchrun.engine.pools import AnyPool
from batchrun.engine.prepared import Prepared
from batchrun.engine.threads import Readahead
from batchrun.engine.ticker import Watch
from batchrun.engine.unsettled import is_all_settled, unsettled, unsettled_packed
from batchrun.errors import BatchrunError
from batchrun.job.endpoint import BATCH
from batchrun.prompts.bundles import bundled
from batchrun.prompts.packing import can_pack
from batchrun.records import (
    Attempted,
    BadRow,
    Closed,
    Event,
    Paused,
    Resumed,
    Spent,
    Stop,
    summed,
)
from batchrun.results.state import recorded_of, unnoted_end
from batchrun.results.used import keep_set_aside

_STOPPED_AT_ONCE = "stopped at once, so that the answers in flight are lost; run the same command again to resume"

_CANCELLED = Stop(kind="interrupted", message=_STOPPED_AT_ONCE, exit_code=130)


class Sending:
    """The sending of one execution."""

    def __init__(self, prepared: Prepared, *, interruption: Interruption, save: Callable[[], None]) -> None:
        """Connect the parts, in the running event loop; `send` starts.

        Args:
            prepared: what is sent, and with what.
            interruption: drains the pool from outside.
            save: writes run.json.
        """
        self.job, self.source, self.store = prepared.job, prepared.source, prepared.store
        self.failure: BatchrunError | None = None
        """The first error of the run itself, to be raised after it has drained."""
        self._prepared = prepared
        self._used_before = prepared.used_before.total
        self._progress, self._budget = prepared.progress, prepared.budget
        self._interruption, self._save = interruption, save
        self._loop = asyncio.get_running_loop()
        self._links = Links(prepared)
        self._pool = self._new_pool()
        self._lost_before = self.store.fact(facts.WORKERS_LOST) or 0, self.store.fact(facts.PUT_BACK) or 0
        self._ticker: Watch | None = None
        self._has_ended = False

    def _new_pool(self) -> AnyPool:
        listeners = Listeners(on_outcome=self.store.put, on_flight=self._on_flight, on_event=self._on_event)
        if (team := self._prepared.team) is not None:
            return team.driver(self._prepared, self._links, listeners)
        pool = Pool(self._links.routes, listeners, ceiling=self._links.ceiling, may_admit=self.store.has_room)
        if self.job.endpoint.via != BATCH:
            return pool
        return BatchPool(self._prepared, self._links, pool, listeners, self._read_again)

    async def _read_again(self) -> AsyncGenerator[list[Any]]:
        """Yield what is not settled, from the beginning of the input."""
        with contextlib.closing(Readahead(self._unsettled)) as batches:
            async for requests in self._requests(batches):
                yield requests

    async def send(self) -> Stop | None:
        """Send what is not settled; return why it stopped, if before the end."""
        ending = ("stopped", "an unexpected error ended it", "error")
        try:
            stop = with_drained(await self._send_all(), self._pool.drained)
            stop = await self._links.explained(stop, self._pool)
            ending = (ended_as(stop), "" if stop is None else stop.message, ended_by(stop))
        except asyncio.CancelledError:
            ending = ("interrupted", _STOPPED_AT_ONCE, ended_by(self._interruption.stop or _CANCELLED))
            raise
        finally:
            self.store.history.end_execution(_now_ms(), *ending)
        self._note_learned()
        self.store.is_note_done = True
        self._links.remember(self._pool)
        return stop

    async def _send_all(self) -> Stop | None:
        executions = recorded_of(self.job.run_directory, is_running=False).executions
        if (end := unnoted_end(self.job.run_directory, executions)) is not None:
            self.store.history.end_last(end)
        self.store.history.begin_execution(_now_ms(), self.store.parts)
        self.store.start(self._on_commit, lambda error: self._from_thread(self._fail, error))
        self._on_flight(0)  # the note has the prices of this job from now on
        self._progress.begin(summed(self.store.totals.values()).requests)
        self._interruption.drain_by(self._pool.stop, lambda: flight_text(self.job, self._pool))
        async with self._links:
            self._ticker = self._watch()
            watch = asyncio.create_task(self._ticker.keep())
            watch.add_done_callback(self._on_watch_end)
            with contextlib.closing(Readahead(self._unsettled)) as batches:
                try:
                    return await self._pool.run(self._requests(batches))
                finally:
                    self._has_ended = True
                    watch.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watch  # raises what went wrong in it, if anything did

    @property
    def set_aside(self) -> Amount:
        """The most that requests can have cost that have no recorded answer, and are not in flight any more."""
        if self._budget is None:
            return self._prepared.used_before.set_aside
        return self._budget.set_aside if self._has_ended else self._budget.used.set_aside

    def _unsettled(self) -> Iterator[list[Any]]:
        parts = self.job, self.source, self.store
        if is_all_settled(*parts, fits=self._prepared.fits):
            return iter(())
        if self._prepared.team is not None and can_pack(self.job):
            return unsettled_packed(*parts, fits=self._prepared.fits)
        return bundled(self.job, unsettled(*parts, fits=self._prepared.fits))

    async def _requests(self, batches: Readahead[list[Any]]) -> AsyncIterator[list[Any]]:
        """Yield what is to be sent; settle broken rows; drain when the input cannot be read to its end.

        That is requests, and for workers packed rows too.
        """
        try:
            async for batch in batches:
                requests = [entry for entry in batch if not isinstance(entry, BadRow)]
                if len(requests) < len(batch):
                    for entry in batch:
                        if isinstance(entry, BadRow):
                            self.store.put(outcome_of(entry, _now_ms()))
                yield requests
        except BatchrunError as problem:
            self._fail(problem)

    def _fail(self, problem: BatchrunError) -> None:
        """Drain, because what is in flight is paid for, and keep the first error."""
        self.failure = self.failure or problem
        self._pool.stop(Stop(kind="failure", message=str(problem), exit_code=problem.exit_code))

    def _on_commit(self, rows: int) -> None:
        if self._has_ended or self._prepared.team is None:  # workers are given rows again and again: none is woken
            self._from_thread(self._committed)

    def _committed(self) -> None:
        """Send more, now that there is room; or show the last rows, since commits are a moment behind."""
        if self._has_ended and self._ticker is not None:
            self._ticker.show_end()
        else:
            self._pool.wake()

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    # What happens meanwhile.

    def _on_flight(self, in_flight: int) -> None:
        usd, tokens = self._used_before if self._budget is None else self._budget.owed
        self.store.sending(in_flight, usd, int(tokens))

    def _on_event(self, event: Event) -> None:
        history = self.store.history
        if isinstance(event, Spent | Attempted):
            self.store.model_id(event.model)  # a model that is only a fallback may have had no row
        if isinstance(event, Spent):
            self.store.paid(event.model, event.usage, event.endpoint)
            return
        if isinstance(event, Attempted):
            self.store.attempted(*event)
            return
        model, endpoint = event.model, event.endpoint
        if isinstance(event, Paused | Resumed | Closed) and event.node and is_of_several_nodes(self._pool):
            note_node(event, self._pool, history, _now_ms())
        elif isinstance(event, Paused):
            history.paused(model, event.kind, _now_ms() - round(1000 * event.for_s), event.message, endpoint)
        elif isinstance(event, Resumed):
            history.resumed_after(model, round(1000 * event.after_s), endpoint)
        elif isinstance(event, Closed):
            history.closed(model, _now_ms(), event.message, endpoint)
        if not (isinstance(event, Closed) and event.is_last):
            self._progress.say(self._links.text(event, self._pool))

    def _note_learned(self) -> None:
        """Record what is known so far. Called once a second: a ramp changes a limit with every answer."""
        keep_set_aside(self.store, self.set_aside)
        end_pauses(self._pool, self.store.history, _now_ms())
        self._links.note_learned(self._pool)

    # The watch.

    def _watch(self) -> Watch:
        return Watch(
            job=self.job,
            directory=self.job.run_directory,
            source=self.source,
            pool=self._pool,
            store=self.store,
            links=self._links,
            progress=self._progress,
            began_s=time.monotonic(),
            note_learned=self._note_learned,
            save=self._save,
            fail=self._fail,
            lost_before=self._lost_before,
        )

    def _on_watch_end(self, watch: asyncio.Task[None]) -> None:
        """Drain when the watch has failed: without it no deadline is kept."""
        if not watch.cancelled() and watch.exception() is not None:
            self._pool.stop(Stop(kind="failure", message="the run's watch has failed", exit_code=1))


def _now_ms() -> int:
    return int(time.time() * 1000)
