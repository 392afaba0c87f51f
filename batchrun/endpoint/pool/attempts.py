"""The attempts in flight: which task makes each, and the end of those that hang when nothing else is left to send."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from batchrun.endpoint.pool.admission import Admission
from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.drain import Drain
from batchrun.endpoint.pool.stragglers import find_overdue
from batchrun.records import Event, Fault, GivenUp, Reply, RequestKind

Task = asyncio.Task[None]


class Client(Protocol):
    """Makes one attempt."""

    def send(self, body: bytes, kind: RequestKind) -> Coroutine[Any, Any, Reply | Fault]:
        """Send the body of a request of this kind."""

    def give_up(self, attempt: Task, silent_s: float) -> bool:
        """End the attempt of a task as timed out, if nothing has arrived for so long; return whether it ends."""


class Attempts:
    """The attempts in flight, the oldest first."""

    def __init__(self, client: Client, admission: Admission, on_event: Callable[[Event], None]) -> None:
        self._client, self._admission, self._on_event = client, admission, on_event
        self._tasks: dict[Work, Task | None] = {}
        self._look_s = 0.0  # when to look for stragglers again
        self._drain: Drain | None = None

    def __iter__(self) -> Iterator[Work]:
        """Yield the requests."""
        return iter(self._tasks)

    def begin(self, work: Work, task: Task | None) -> None:
        """Note that a task is about to send a request."""
        self._tasks[work] = task

    def end(self, work: Work) -> None:
        """Note that the attempt has ended."""
        del self._tasks[work]

    def begin_drain(self, *, is_hopeless: bool) -> None:
        """Note that nothing more is sent: attempts are given up earlier, and their rows stay open.

        Args:
            is_hopeless: nothing in flight will be answered.
        """
        self._drain = Drain(self._admission.lanes, is_hopeless=is_hopeless)
        self._look_s = 0.0

    def most_s(self, now_s: float, timeout_s: float, *, is_stream: bool) -> float:
        """Return how long a run that is stopped now, or was stopped, waits at most; see `Drain.most_s`."""
        drain = self._drain or Drain(self._admission.lanes)
        return drain.most_s(self._tasks, now_s, timeout_s, is_stream=is_stream)

    def are_late(self, now_s: float) -> bool:
        """Return whether each attempt, and there is one, has taken longer than an answer of its model usually does."""
        lane = self._admission.lane
        late = (now_s - work.sent_s > lane(work.request.model).usual_s for work in self._tasks)
        return bool(self._tasks) and all(late)

    def give_up_stragglers(self, now_s: float) -> float | None:
        """End attempts that take much longer than all others; return when to look again, if at all.

        Call it when nothing else is left to send. In a drain their rows stay open, instead of being sent again.
        """
        if now_s < self._look_s:
            return self._look_s
        drain, lane_of = self._drain, self._admission.lane
        found, again_s = drain.find_overdue(self, now_s) if drain else find_overdue(self, lane_of, now_s)
        for lane, works, age_s in found:
            ended = [work for work in works if self._ends(work, age_s)]
            for work in ended:
                work.is_straggler = work.is_given_up = True
            rows = [work for work in ended if not work.is_canary]
            if rows:
                after_s = min(now_s - work.sent_s for work in rows)
                self._on_event(
                    GivenUp(lane.model, len(rows), after_s, lane.slowest_s, drain is not None, lane.endpoint)
                )
        self._look_s = again_s or 0.0
        return again_s

    def give_up_canaries(self) -> None:
        """End the canaries: no row is left that their answers could help."""
        for work, task in list(self._tasks.items()):
            if work.is_canary and task is not None:
                self._client.give_up(task, 0.0)

    def _ends(self, work: Work, silent_s: float) -> bool:
        """End an attempt, unless the budget has no room for another one that would follow."""
        task, budget = self._tasks[work], self._admission.budget
        has_room = self._drain is not None or budget is None or budget.has_room(work.request)
        if task is None or not has_room:
            return False
        return self._client.give_up(task, silent_s)
