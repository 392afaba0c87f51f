"""A worker's side of a shared limit: what it may have in flight, and what it has to report of it. Pure.

It stands where a `Limit` stands in the pool. It cuts itself at once where it is rejected; only the keeper lets it grow.
"""

from collections.abc import Callable
from typing import NamedTuple

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


class Answered(NamedTuple):
    """A request was answered."""

    latency_s: float
    is_full: bool
    """Whether the worker used all that it may."""


class Rejected(NamedTuple):
    """A request was rejected for concurrency."""

    in_flight: int
    """How many the worker has left."""
    delay_s: float
    """How long the rejection took."""


class Faltered(NamedTuple):
    """A request failed in a way that stops growth."""


class Restored(NamedTuple):
    """The endpoint lets requests in again."""


News = Answered | Rejected | Faltered | Restored
"""What happened to a worker's requests, as far as the limit is concerned."""


class Bound:
    """How many requests one worker may have in flight now."""

    def __init__(self, ceiling: int, on_urgent: Callable[[], None]) -> None:
        """Begin with none.

        Args:
            ceiling: the most that the worker may ever have; at least 1.
            on_urgent: called when the keeper should hear at once.
        """
        self.ceiling = ceiling
        self.current = 0
        self._on_urgent = on_urgent
        self._news: list[News] = []

    def __repr__(self) -> str:
        return f"<Bound {self.current} of {self.ceiling}>"

    @property
    def held(self) -> int:
        """The level that the server was seen to hold, as far as a worker knows it."""
        return self.current

    def completed(self, level: int, latency_s: float, in_flight: int, now_s: float) -> None:
        """Note that a request was answered; see `Limit.completed`."""
        self._news.append(_new(Answered, (latency_s, in_flight + 1 >= self.current)))

    def grow_in_silence(self, now_s: float) -> None:
        """Do nothing: only the keeper lets a worker grow."""

    def break_silence(self) -> None:
        """Do nothing: the keeper's limit grows by answers."""

    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None:
        """Note that a request was rejected, and keep to what is left; see `Limit.throttled`."""
        self.current = max(0, min(self.current, in_flight))
        self._note(Rejected(in_flight, delay_s))

    def faltered(self, now_s: float) -> None:
        """Note a failure for another reason than a concurrency limit."""
        self._note(Faltered())

    def restore(self, now_s: float) -> None:
        """Note that the endpoint lets requests in again."""
        self._note(Restored())

    def cap(self, most: int | None, now_s: float) -> None:
        """Do nothing: the keeper shares the limit with other runs."""

    def change(self, by: int) -> None:
        """Carry out a grant. It is a change: a total would undo a cut that was made while it was on its way."""
        self.current = max(0, min(self.current + by, self.ceiling))

    def take_news(self) -> list[News]:
        """Return what has happened since the last call."""
        news, self._news = self._news, []
        return news

    def _note(self, news: News) -> None:
        self._news.append(news)
        self._on_urgent()
