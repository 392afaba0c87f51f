"""The driver of a run that many workers carry out: gives them rows and slots, takes outcomes, replaces who dies.

Theory of operation. Each worker is served by a task of its own: orders out, word back, again and again. A worker keeps
its word until there is something to report, so an exchange may take a second; a *nudge* ends that wait where the driver
has something to tell. Rows are leased (`leases`), and so are slots (`keeper`): a worker that is silent for long loses
its slots for a while, and its rows only when it is known to be dead. Then another worker is hired in its place.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from batchrun.endpoint.pool.rules import Listeners
from batchrun.engine.cluster.dispatch import Dispatch
from batchrun.engine.cluster.endpoints import Endpoints
from batchrun.engine.cluster.hiring import AGAIN_S, Hiring
from batchrun.engine.cluster.leases import Leased, Leases
from batchrun.engine.cluster.messages import Orders, Word
from batchrun.engine.cluster.neighbours import Neighbours
from batchrun.engine.cluster.nudges import NUDGE_EVERY_S, Nudges
from batchrun.engine.cluster.outages import Outages
from batchrun.engine.cluster.overview import Overview
from batchrun.engine.cluster.places import fill_places, lost_text
from batchrun.engine.cluster.post import Handle, Post, WorkerDied, WorkerUnavailable
from batchrun.engine.cluster.routes import closed_by
from batchrun.engine.cluster.shipping import Inbox, Recorder
from batchrun.engine.cluster.silence import stop_of
from batchrun.engine.cluster.till import Till
from batchrun.records import Stop

_REPEAT_S = 0.01
"""Time until a call that failed is repeated, at first: the answers that it should have brought grow old meanwhile."""


class Driver(Overview):
    """Stands where a pool stands: requests in, outcomes out."""

    def __init__(
        self,
        hire: Callable[[int], Handle],
        endpoints: Endpoints,
        listeners: Listeners,
        recorder: Recorder,
        *,
        workers: Callable[[], int],
        till: Till | None = None,
        say: Callable[[str], None] = lambda text: None,
        room: Callable[[], str] = lambda: "",
    ) -> None:
        """Prepare, in the running event loop; `run` starts.

        Args:
            hire: starts workers; see `Hiring`.
            endpoints: that they send to.
            listeners: what to report to.
            recorder: the checkpoint; no rows are given while it is behind.
            workers: returns how many there should be now, never fewer than before; raises `ClusterLost`.
            till: shares the caps; None where the job has none.
            say: takes a line of the log.
            room: returns what workers need and what is free; see `Hiring`.
        """
        self._loop = asyncio.get_running_loop()
        hiring, leases = Hiring(hire, say=say, now_s=self._loop.time, room=room), Leases(recorder.model_id)
        super().__init__(hiring, endpoints, leases, self._loop.time)
        self._inbox = Inbox(leases, recorder, listeners.on_outcome)
        self._listeners, self._hungry = listeners, asyncio.Event()
        self._till, self._outages, self._neighbours = till, Outages(), Neighbours(is_needed=endpoints.has_own)
        self._dispatch = Dispatch(self, self._neighbours, till, self._inbox, recorder.has_room)
        self._nudges = Nudges(self, self._neighbours)
        self._workers, self._say = workers, say

    def stop(self, stop: Stop) -> None:
        """Send nothing more; `run` returns when all that is in flight is answered. The first reason is kept."""
        self.stopping = self.stopping or stop

    def wake(self) -> None:
        """Do nothing: workers are given rows several times a second."""

    async def run(self, batches: AsyncIterator[Sequence[Leased]]) -> Stop | None:
        """Have every request sent; return when each has its outcome, or when all workers have drained after `stop`.

        Returns why requests stay open. Raises what `batches` or a listener raised.
        """
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._feed(batches)), group.create_task(self._nudge())]
                await fill_places(group, self._workers, self._fill_place, lambda: self.is_over)
                for helper in helpers:
                    helper.cancel()
        except BaseExceptionGroup as errors:
            self.stop(stop_of(errors.exceptions[0]))
        finally:
            for post in self.posts.values():
                post.handle.kill()
        return self.stopping or self.reason

    async def _feed(self, batches: AsyncIterator[Sequence[Leased]]) -> None:
        async for batch in batches:
            self.leases.extend(batch)
            while self._dispatch.is_full:
                self._hungry.clear()
                await self._hungry.wait()
        self.leases.is_fed = True

    # One worker.

    async def _fill_place(self, place: int) -> None:
        """Have a worker in one place from the start to the end of the run."""
        while (hired := await self.hiring.hired(place, lambda: self.is_over)) is not None:
            handle, incarnation = hired
            routes = self.endpoints.at(handle.address, handle.node)
            self.posts[place] = post = Post(handle, self._loop.time(), routes, self._till)
            self.leases.join(place)
            self._neighbours.join(place, handle.address)
            for sharer in post.sharers:
                sharer.join(place)
            try:
                await self._serve(place, incarnation)
                return
            except WorkerDied as death:
                self._bury(place, str(death))
                handle.kill()
                await asyncio.sleep(AGAIN_S)

    def _bury(self, place: int, why: str) -> None:
        """Take back what a dead worker had."""
        self.note_undrained(place)
        post = self.posts.pop(place)
        self.lost += 1
        rows = self.leases.count(place)
        self._say(lost_text(place, post.handle.node, rows, why, is_stopping=self.stopping is not None))
        for route in post.routes.values():
            route.leave(place)
        self._neighbours.leave(place)
        for reported in self._outages.left(place, self._loop.time()):
            self._listeners.on_event(reported)
        self.leases.leave(place)
        for sharer in post.sharers:
            sharer.leave(place)
        self._note_flight()

    async def _serve(self, place: int, incarnation: str) -> None:
        number = 0
        while True:
            number += 1
            orders = self._dispatch.orders(place, number, self._loop.time())
            if self._dispatch.is_hungry:
                self._hungry.set()
            self._note_flight()
            word = await self._exchanged(place, orders)
            if word.incarnation != incarnation:
                raise WorkerDied
            self._hear(place, word)
            if word.is_done:
                self.leases.end(place)
                self._note_flight()
                return

    async def _exchanged(self, place: int, orders: Orders) -> Word:
        """Make an exchange, again and again until there is an answer."""
        post = self.posts[place]
        post.asked_s, again_s = self._loop.time(), _REPEAT_S
        while True:
            with contextlib.suppress(WorkerUnavailable):
                word = await post.handle.exchange(orders)
                post.asked_s = None
                return word
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_S)

    def _hear(self, place: int, word: Word) -> None:
        """Take a worker's word."""
        post, now_s = self.posts[place], self._loop.time()
        counted = self._inbox.take(place, word.outcomes)
        self.answered[place] += counted
        lasted_s = max(now_s - post.heard_s, 1e-3)
        post.rate_per_s += 0.2 * (counted / lasted_s - post.rate_per_s)
        post.word, post.heard_s = word, now_s
        for left in word.left:
            self.leases.hand_back(place, left)
        for route in post.routes.values():
            its = word.routes[route.name]
            route.hear(place, its)
            allowance = its.allowance
            if not self.leases.is_dry and self.stopping is None:
                allowance = allowance._replace(wants_more=True)
            route.keeper.heard(place, allowance, its.news, now_s, lasted_s if its.news else None)
        if self._till is not None and word.books is not None:
            self._till.heard(place, word.books)
            if (reason := self._till.reason()) is not None:
                self.stop(reason)
        for event in word.events:
            node = self.endpoints.node_of(event.endpoint, post.handle.address)
            for reported in self._outages.passed_on(place, event, now_s, node):
                self._listeners.on_event(reported)
        self._end_unseen(post)
        self._neighbours.hear(place, word)
        self._close(post, word)
        self._note_flight()

    def _end_unseen(self, post: Post) -> None:
        """Report the end of an outage that only workers without a slot have not seen: they can send nothing to see it.

        They would see it when the others leave them a slot, which may be at the end of the run.
        """
        for route in post.routes.values():
            if self._outages.are_any and route.trouble is None:
                for worker in route.idle:
                    for reported in self._outages.left(worker, self._loop.time(), route.name):
                        self._listeners.on_event(reported)

    def _close(self, post: Post, word: Word) -> None:
        """Close for all workers what one has closed; stop when nothing is left that can be answered."""
        closed = {**closed_by(word.routes, self._neighbours.is_closed), **word.closed}
        post.closed.update(word.closed)
        for model, stop in closed.items():
            if model not in self.closed:
                self.closed[model] = stop
                self.leases.close(model)
        if word.unanswered is not None and (self.leases.models.keys() <= self.closed.keys() or not self.is_heard):
            self.stop(word.unanswered if not self.closed else self.reason or word.unanswered)

    def _note_flight(self) -> None:
        self._listeners.on_flight(self.leases.leased)

    # All workers.

    async def _nudge(self) -> None:
        while True:
            await asyncio.sleep(NUDGE_EVERY_S)
            self._nudges.look(self._loop.time())
