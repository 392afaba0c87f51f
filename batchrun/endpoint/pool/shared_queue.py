"""The requests of one model that any endpoint which serves it may send. Pure.

Fresh requests stand here in their order until an endpoint has a slot. Requests that an endpoint passes on to the others
come first, and so do those that another model has failed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from batchrun.endpoint.pool.backlog import Work
from batchrun.records import Request


class SharedQueue:
    """The requests of one model that no endpoint holds."""

    def __init__(self, model: str, max_attempts: int, on_passed_on: Callable[[], None] = lambda: None) -> None:
        """Begin without requests.

        Args:
            model: its name.
            max_attempts: how many attempts a row may spend.
            on_passed_on: called when a request is passed on.
        """
        self.model, self.max_attempts, self._on_passed_on = model, max_attempts, on_passed_on
        self._fresh: deque[Request] = deque()
        self._passed_on: deque[Work] = deque()
        self.held: deque[Work] = deque()
        """Requests that may take an endpoint down each time they are sent; see `apart`."""
        self.size_bytes = 0
        """Bytes of the bodies of what can be taken."""
        self.is_read = False
        """Whether the input has had requests for the model; otherwise it is only the fallback of another one."""
        self.is_closed = False
        """Whether nothing more is sent to the model; `close` sets it."""

    def __len__(self) -> int:
        """Return how many requests can be taken."""
        return len(self._fresh) + len(self._passed_on)

    def __iter__(self) -> Iterator[Work]:
        """Yield the requests that were sent before."""
        yield from self._passed_on
        yield from self.held

    @property
    def waiting(self) -> int:
        """How many requests were sent before."""
        return len(self._passed_on) + len(self.held)

    def extend(self, requests: Iterable[Request]) -> None:
        """Add fresh requests; a closed queue leaves them open."""
        self.is_read = True
        if self.is_closed:
            return
        requests = list(requests)
        self._fresh.extend(requests)
        self.size_bytes += sum(len(request.body) for request in requests)

    def pass_on(self, work: Work) -> None:
        """Add a request that an endpoint leaves to the others, or that another model has failed."""
        self._passed_on.append(work)
        self.size_bytes += work.size_bytes
        self._on_passed_on()

    def take(self) -> Work | None:
        """Return the next request."""
        if self._passed_on:
            work = self._passed_on.popleft()
            self.size_bytes -= work.size_bytes
            return work
        fresh = self._fresh
        if not fresh:
            return None
        request = fresh.popleft()
        self.size_bytes -= len(request.body)
        return Work(request, self.max_attempts)

    def take_last(self) -> Work | None:
        """Return the last of the fresh requests, or the next one without."""
        if not self._fresh:
            return self.take()
        request = self._fresh.pop()
        self.size_bytes -= len(request.body)
        return Work(request, self.max_attempts)

    def close(self) -> None:
        """Drop everything: nothing more is sent to the model."""
        self.is_closed = True
        self._fresh.clear()
        self._passed_on.clear()
        self.held.clear()
        self.size_bytes = 0
