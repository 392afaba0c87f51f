"""The driver's side of a shared limit: one `Limit`, and who may use how much of it. Pure: time is given.

A worker's word is old when it is heard, and a grant is on its way for a while. So what a worker may be using is the
most that it was given since its last word, or what it had in flight by its last word, if that is more. Slots are given
to another worker only when the one who had them has reported them free: the sum never passes the limit, whatever is on
its way.

An answer's level is what all workers together had in flight when it was sent: that is looked up in the history. A
rejection is as old as the exchange took that brought it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.strides import Strides
from batchrun.engine.cluster.bound import Answered, Faltered, News, Rejected

_MOST_LAG_S = 0.2
"""A worker that was held up for longer says nothing about how long news takes as a rule."""

_KEPT, _FORGOTTEN = 20_000, 10_000
"""Entries of the history, and how many go at once."""

_UNEVEN = 10
"""Slots move only when a worker has a tenth less than its share: moving them leaves them empty for a while."""

_NEVER_S = float("-inf")


class Allowance(NamedTuple):
    """A worker's word on its slots."""

    slots: int
    """How many it may have in flight, as far as it knows."""
    in_flight: int
    wants_more: bool
    """Whether it would use more than it has in flight."""


class _Holder:
    """What is known of one worker's slots."""

    def __init__(self) -> None:
        self.given = 0  # what it was given last
        self.most_given = 0  # the most that it was given since its last word
        self.in_flight = 0  # by its last word
        self.wants_more = True
        self.idle = 0  # what it may use and does not want
        self.known = 0  # what it knew by its last word
        self.is_lent = False  # its slots are lent, because it is silent

    @property
    def using(self) -> int:
        """The most that it may be using."""
        return max(self.most_given, self.in_flight)

    @property
    def busy(self) -> int:
        """What it uses, if all that was given has arrived."""
        return max(0, max(self.given, self.in_flight) - self.idle)


class Keeper:
    """Shares a limit among workers."""

    def __init__(self, limit: Limit, strides: Strides, most_each: int) -> None:
        """Begin without workers.

        Args:
            limit: of the endpoint; it must grow by `strides`.
            strides: gets the time that news takes.
            most_each: how many requests one worker may have in flight at most.
        """
        self.limit, self._strides, self._most = limit, strides, most_each
        self._holders: dict[int, _Holder] = {}
        self._at_s, self._levels = [_NEVER_S], [0]  # how many were in flight, and since when

    def __repr__(self) -> str:
        shares = " ".join(f"{holder.in_flight}/{holder.given}" for holder in self._holders.values())
        return f"<Keeper {self.limit!r}: {shares}>"

    @property
    def in_flight(self) -> int:
        """How many requests all workers have in flight, by their last words."""
        return sum(holder.in_flight for holder in self._holders.values())

    @property
    def using(self) -> int:
        """How many requests may be in flight at most."""
        return sum(holder.using for holder in self._holders.values())

    @property
    def allowances(self) -> dict[int, tuple[int, int]]:
        """What each worker has in flight, and what it may have."""
        return {worker: (holder.in_flight, holder.given) for worker, holder in self._holders.items()}

    def most(self, worker: int) -> int:
        """Return how many requests a worker may have in flight at most, unless its slots are lent."""
        return self._holders[worker].using

    def join(self, worker: int) -> None:
        """Add a worker; it has nothing yet."""
        self._holders[worker] = _Holder()

    def leave(self, worker: int) -> None:
        """Remove a worker that is known to be dead: what it had is free."""
        self._holders.pop(worker, None)

    def lend(self, worker: int) -> None:
        """Let others have the slots of a worker that is silent for longer than it sends without a word."""
        holder = self._holders[worker]
        holder.given = holder.most_given = holder.in_flight = holder.idle = holder.known = 0
        holder.is_lent = True

    def is_lent(self, worker: int) -> bool:
        """Return whether a worker's slots are lent."""
        return self._holders[worker].is_lent

    def heard(self, worker: int, word: Allowance, news: Iterable[News], now_s: float, took_s: float | None) -> None:
        """Take a worker's word, and what happened to its requests, in order.

        Args:
            worker: who.
            word: on its slots.
            news: since its last word.
            now_s: the time.
            took_s: how long the exchange took; None when nothing urgent was in it.
        """
        holder = self._holders[worker]
        holder.is_lent = False
        if took_s is not None:
            self._strides.lag_s += 0.1 * (min(took_s, _MOST_LAG_S) - self._strides.lag_s)
        others = sum(each.busy for each in self._holders.values() if each is not holder)
        is_idle = any(each.idle for each in self._holders.values() if each is not holder)
        self._pass_on(news, others, word.in_flight, now_s, is_idle=is_idle)
        holder.given = holder.most_given = holder.known = word.slots
        holder.in_flight = word.in_flight
        holder.wants_more = word.wants_more
        holder.idle = 0 if word.wants_more else max(0, word.slots - word.in_flight)
        self._note_level(now_s)

    def _pass_on(self, news: Iterable[News], others: int, in_flight: int, now_s: float, *, is_idle: bool) -> None:
        limit, at_s, levels = self.limit, self._at_s, self._levels
        for each in news:
            if isinstance(each, Answered):  # without a call of our own: there are millions
                latency_s, is_full = each
                level = levels[max(0, bisect_right(at_s, now_s - latency_s) - 1)]
                # What was granted and is not known to be idle counts as used: a grant on its way does not stop growth.
                left = limit.current - 1 if is_full and not is_idle else others + in_flight - 1
                limit.completed(level, latency_s, left, now_s)
            elif isinstance(each, Rejected):
                limit.throttled(others + each.in_flight, each.delay_s + self._strides.lag_s, now_s)
            elif isinstance(each, Faltered):
                limit.faltered(now_s)
            else:
                limit.restore(now_s)

    def _note_level(self, now_s: float) -> None:
        self._at_s.append(now_s)
        self._levels.append(sum(max(holder.in_flight, holder.known - holder.idle) for holder in self._holders.values()))
        if len(self._levels) > _KEPT:
            del self._at_s[:_FORGOTTEN], self._levels[:_FORGOTTEN]

    # Giving.

    def grant(self, worker: int, *, wants_more: bool, room: int | None = None) -> int:
        """Return how many more, or fewer, a worker may have than it was given last.

        Args:
            worker: who.
            wants_more: whether it would use more.
            room: how many more there may be at all endpoints together; None where only the limit bounds it.
        """
        holder = self._holders[worker]
        before = holder.given
        target = self._share(worker) if wants_more else min(before, holder.in_flight)
        if target > before:
            free = self._free if room is None else min(self._free, room)
            target = max(before, min(target, before + max(0, free), self._most))
        holder.given = target
        holder.most_given = max(holder.most_given, target)
        return target - before

    def free_slots(self, worker: int) -> int:
        """Return how many slots a worker has that it did not use by its last word."""
        holder = self._holders[worker]
        return max(0, holder.given - holder.in_flight)

    def is_due(self, worker: int) -> bool:
        """Return whether a worker that has not asked should be given another allowance."""
        holder = self._holders[worker]
        if holder.is_lent or not holder.wants_more:
            return False
        share = self._share(worker)
        return share < holder.given or (share > holder.given and self._free > 0)

    @property
    def _free(self) -> int:
        """How many slots nobody can be using; negative while the limit is exceeded."""
        return self.limit.current - self.using

    def _share(self, worker: int) -> int:
        """Return what a worker may have: an even share of what is not used by those who want no more.

        A little unevenness stays as it is.
        """
        own = self._holders[worker]
        content = sum(each.in_flight for each in self._holders.values() if each is not own and not each.wants_more)
        wanting = sorted(
            each
            for each, holder in self._holders.items()
            if holder is own or (holder.wants_more and not holder.is_lent)
        )
        even, over = divmod(max(0, self.limit.current - content), len(wanting))
        share, least = even + (wanting.index(worker) < over), max(1, even // _UNEVEN)
        free = self._free
        if own.given <= share:
            return own.given + free if 0 < free < share - own.given else share
        if free < 0:
            return max(share, own.given + free)
        are_others_short = any(
            self._holders[each].given < even - least for each in wanting if self._holders[each] is not own
        )
        return max(share, own.given - least) if are_others_short else own.given
