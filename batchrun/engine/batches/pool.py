"""Stands where a pool stands, and sends in batches: requests in, outcomes out.

Theory of operation. A *pass* reads what is not settled and not in a batch, and the planner writes it into files, one
batch after the other. Each batch has a courier, a task that brings it to the provider and back. What a batch leaves
open (expired, cancelled, rejected, asked again) waits in the checkpoint for the next pass, which comes when no batch is
under way any more, or when what waits fills one. The run ends when nothing is open.

A stop ends all tasks at once, whatever they do: the batches go on at the provider, every step is noted before it is
relied on, and the same command takes each batch up where it is. At `rest_by` all batches are cancelled, and when they
have ended, what they have not answered is sent as ordinary requests by the pool within.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from batchrun.checkpoint.batch_tables import UPLOADED, WRITTEN, BatchRow
from batchrun.endpoint.pool.budget import Amount
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rules import Listeners
from batchrun.engine.batches.files import remove_folder
from batchrun.engine.batches.left_over import left_over
from batchrun.engine.batches.notices import Notices
from batchrun.engine.batches.overview import Overview
from batchrun.engine.batches.parts import Parts, parts_for
from batchrun.engine.batches.provider import Halted
from batchrun.engine.batches.queue_room import QueueRoom
from batchrun.engine.batches.reasons import after_cancel, with_left
from batchrun.engine.batches.rest_time import rest_at_s
from batchrun.engine.batches.shipment import Delivered, Shipment
from batchrun.engine.links import Links
from batchrun.engine.prepared import Prepared
from batchrun.job.batch_providers import Most
from batchrun.records import Outcome, Request, Stop

_MOST_PROBLEMS = 3
"""Batches of a model in a row that the provider does not take, for no line's reason, until the model is closed."""

_LAST_LOOK_S = 2.0
"""How long the other batches are looked after when every model is closed: most are refused for the same reason."""

Feed = Callable[[], AsyncGenerator[Sequence[Request]]]


class BatchPool(Overview):
    """Sends in batches."""

    def __init__(self, prepared: Prepared, links: Links, rest: Pool, listeners: Listeners, feed: Feed) -> None:
        """Prepare, in the running event loop; `run` starts.

        Args:
            prepared: what is sent, and with what.
            links: the endpoint.
            rest: sends ordinary requests.
            listeners: what to report to.
            feed: reads again what is not settled.
        """
        self._job, self._store, self._prepared = prepared.job, prepared.store, prepared
        self._budget, self._listeners, self._feed = prepared.budget, listeners, feed
        self._log, self._say = prepared.store.batches, prepared.progress.say
        self._parts: Parts = parts_for(prepared, links, self._put, listeners.on_event, self)
        super().__init__(self._parts.route, rest)
        self._shipments: dict[int, Shipment] = {}
        self._changed = asyncio.Event()
        self._main: asyncio.Task[Stop | None] | None = None
        self._queue = QueueRoom(self._parts.planner, self._shipments, self._say)
        self._problems: Counter[str] = Counter()  # by model
        self._closed = self._parts.closed
        self._had_any = False  # batches of earlier executions
        self._given_up: Sequence[BatchRow] = ()
        self._answered = self._ended = 0  # requests, by batches that have ended; batches that have ended now
        self._ending: asyncio.Task[None] | None = None
        self._is_ending = prepared.cancels  # no new batch is planned
        self._has_withdrawn = False  # a batch whose requests are to go into a new one at once

    def stop(self, stop: Stop) -> None:
        """Send nothing more; batches go on at the provider. The first reason is kept."""
        if self.is_resting:
            self.rest.stop(stop)
        elif self.own_stop is None:
            self.own_stop = stop
            if self._main is not None:
                self._main.cancel()

    async def run(self, batches: AsyncIterator[Sequence[Request]]) -> Stop | None:
        """Have every request answered; return why some stay open."""
        if self.own_stop is not None:
            return self.own_stop
        self._main = asyncio.ensure_future(self._carry_out(batches))
        try:
            await asyncio.wait({self._main})
        except asyncio.CancelledError:
            self._main.cancel()
            await asyncio.wait({self._main})
            raise
        self._log.close()
        remove_folder(self._job.run_directory)
        stop = self.own_stop if self._main.cancelled() else self._main.result()
        return with_left(stop, self.left_text)

    async def _carry_out(self, batches: AsyncIterator[Sequence[Request]]) -> Stop | None:
        await self._log.committed()
        at_s = rest_at_s(self._job.limits.rest_by, self._store)
        self._notices = Notices(self._say, at_s, time.time)
        try:
            async with self._parts.client, asyncio.TaskGroup() as group:
                self._group = group
                await self._take_up()
                timer = None if at_s is None else group.create_task(self._end_at(at_s))
                if self._is_ending:
                    self._cancel_all()
                await self._passes(batches)
                for each in filter(None, [timer, self._ending]):
                    each.cancel()
        except BaseExceptionGroup as errors:
            halted, others = errors.split(Halted)
            if others is not None or halted is None:
                raise (others or errors).exceptions[0] from None
            found = halted.exceptions[0]
            return found.stop if isinstance(found, Halted) else None
        return await self._rest()

    async def _rest(self) -> Stop | None:
        """End, or send what is left as ordinary requests."""
        if self._prepared.cancels:
            self._log.refresh()
            return await after_cancel(self._feed(), self._say, had_any=self._had_any, given_up=self._given_up)
        if not self._is_ending:
            return self._closed.stop
        _, attempts = await asyncio.to_thread(self._log.waiting)
        self._log.hand_over(attempts)
        await self._log.committed()
        self._log.refresh()
        self._say(f"rest_by {self._job.limits.rest_by} has come: what is left is sent as ordinary requests")
        self.is_resting = True
        return await self.rest.run(self._feed())

    # Passes.

    async def _passes(self, batches: AsyncIterator[Sequence[Request]]) -> None:
        feed = batches
        while not self.is_ending:
            ended = self._ended
            await self._parts.planner.plan(feed)
            await self._until_pass_is_due()
            await self._log.committed()
            waiting, _ = await asyncio.to_thread(self._log.waiting, self._closed.stops)
            if not self._shipments and (not waiting or self._ended == ended):
                break  # what waits then, no batch takes
            self._log.refresh()
            feed, self._has_withdrawn = self._feed(), False
        while self._shipments:
            self._changed.clear()
            await self._changed.wait()

    @property
    def is_ending(self) -> bool:
        """Whether no new batch is sent."""
        return self._is_ending or self._closed.is_everything

    async def _until_pass_is_due(self) -> None:
        """Wait until no batch is under way, or what waits is worth a pass before that."""
        while True:
            self._changed.clear()  # first: what changes while this looks is looked at again
            if not self._shipments or self.is_ending or await self._is_pass_due():
                return
            await self._changed.wait()

    async def _is_pass_due(self) -> bool:
        """Return whether what waits fills half a batch, or is to go into a new one at once."""
        if self._has_withdrawn:
            return True
        waiting, _ = await asyncio.to_thread(self._log.waiting, self._closed.stops)
        return 2 * waiting >= self._parts.planner.most.requests

    async def room(self) -> None:
        """Wait until a batch has ended, which frees some of what the caps allow."""
        assert self._budget is not None
        self._notices.full(self._budget.texts.cap)
        self._changed.clear()
        await self._changed.wait()

    def under_way(self) -> int:
        """Return how many requests are in batches that will free some."""
        return sum(each.row.requests for each in self._shipments.values())

    def answered(self) -> int:
        """Return how many requests the batches of the run have answered that have ended."""
        return self._answered

    # Batches.

    async def _take_up(self) -> None:
        """Go on with the batches of earlier executions."""
        found = await left_over(self._job, self._store, self._parts, is_ending=self._is_ending)
        for row in (*found.given_up, *found.own):
            if self._budget is not None:
                self._budget.hold(Amount(row.reserved_usd, row.reserved_tokens), is_begun=True)
        for row in found.given_up:
            await self._parts.courier.give_up(row)
            if self._budget is not None:  # they may be paid
                self._budget.collected(Amount(row.reserved_usd, row.reserved_tokens), (), 1.0)
        self._given_up, self._answered = found.given_up, found.answered
        for row in found.own:
            self._carry_on(row, 0.0)
        self._had_any = bool(self._shipments)
        self._notices.going_on(len(self._shipments), is_ending=self._is_ending)

    def ready(self, row: BatchRow, tokens: float) -> None:
        """Take a new batch."""
        self._notices.new_batch(self._parts.note)
        self._carry_on(row, tokens)

    def _carry_on(self, row: BatchRow, tokens: float) -> None:
        shipment = self._shipments[row.id] = Shipment(row, tokens, is_cancelled=self._is_ending)
        self.rows[row.id] = row
        self._group.create_task(self._carry(shipment))

    async def _carry(self, shipment: Shipment) -> None:
        number = shipment.row.id
        shipment.on_row = self._noted
        while True:
            async with self._queue.admitted(shipment):
                if shipment.row.step in (WRITTEN, UPLOADED) and shipment.row.model in self._closed.stops:
                    shipment.cancel()
                await self._parts.courier.bring(shipment)
            delivered = await self._parts.courier.fetch(shipment)
            if not delivered.is_queue_full:
                break
            self._queue.refused(shipment, is_of_model=delivered.is_queue_of_model)
        del self._shipments[number], self.rows[number]
        self._answered += shipment.row.answered
        self._ended += 1
        self._changed.set()
        self._settle(shipment, delivered)
        self._queue.look()
        if (refusal := delivered.result.refusal) is not None:
            self._close(shipment.row.model, self._parts.stop_for(refusal, shipment.row))

    def _noted(self, row: BatchRow) -> None:
        self.rows[row.id] = row
        self._queue.seen(row)

    def _close(self, model: str, stop: Stop) -> None:
        """Send nothing more to a model; end the run when none is left."""
        self._closed.close(model, stop)
        self._queue.cancel(model)
        if self._closed.is_everything and self._ending is None:
            self._ending = self._group.create_task(self._end_soon())

    async def _end_soon(self) -> None:
        await asyncio.sleep(_LAST_LOOK_S)
        assert self._closed.stop is not None
        raise Halted(self._closed.stop)

    def _settle(self, shipment: Shipment, delivered: Delivered) -> None:
        """Book a batch that has ended, and learn from it."""
        row, result = shipment.row, delivered.result
        if self._budget is not None:
            held = Amount(row.reserved_usd, row.reserved_tokens)
            self._budget.collected(held, result.usages, result.lost / row.requests if row.requests else 0.0)
        self._listeners.on_flight(0)
        if result.lost:
            self._notices.lost(row.id, result.lost)
        self._has_withdrawn |= delivered.is_withdrawn
        if delivered.is_too_large and row.requests > 1:
            planner = self._parts.planner
            planner.most = Most(row.requests // 2, max(1, planner.most.size_bytes // 2))
            self._notices.too_large(row.id)
        elif delivered.stop is not None:
            self._close(row.model, delivered.stop)
        elif delivered.problem:
            self._problems[row.model] += 1
            self._say(f"batch {row.id} was not taken: {delivered.problem}")
            if self._problems[row.model] >= _MOST_PROBLEMS:
                self._close(row.model, self._parts.not_taken(row, delivered.problem))
        elif row.name is not None:
            self._problems[row.model] = 0
            self._queue.ended(row.model)

    def _put(self, outcome: Outcome) -> None:
        if outcome.kind is None:
            self._parts.route.models.add(outcome.model)
        self._store.model_id(outcome.model)
        self._listeners.on_outcome(outcome)

    # The end of batches.

    async def _end_at(self, at_s: float) -> None:
        while (left_s := at_s - time.time()) > 0:  # noqa: ASYNC110  # no event: a clock
            await asyncio.sleep(min(left_s, 10.0))  # clocks may be set
        self._is_ending = True
        self._say(f"rest_by {self._job.limits.rest_by} has come: cancelling the batches, and collecting what they have")
        self._cancel_all()
        self._changed.set()

    def _cancel_all(self) -> None:
        for shipment in self._shipments.values():
            shipment.cancel()
