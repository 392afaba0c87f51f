"""How fast requests may leave for a server with a rate limit, learned from its rejections. Pure: time is an argument.

Theory of operation. A 429 that names a rate closes admission for as long as the server asks. If all slots then sent at
once, almost all would be rejected again, for ever. So the first rejection also gives a pace: the requests accepted
until then, over that time. From then on requests leave one by one, a little slower than that. The pace grows, fast at
first, because the first pace may have been that of the ramp. Each further rejection makes it grow more slowly, down to
a percent a second, and lowers it a little. It lowers it more, up to two fifths, while the server accepts less than the
pace: the first pace may have been that of a full bucket, which takes a minute's worth in a second and then a sixtieth
of that. A rejection of what is sent first after another shows no pace: the server only asked to come again too soon.
Then admission closes for longer. Before the first rejection nothing is held back.

A server may name a rate and reject a share of all requests, whatever the pace. Then lowering it helps nothing, and it
would fall for ever. A rate that lets in most of a pace lets in all of half of it. So when the pace has fallen by half,
from one episode to the next, and most was let in meanwhile, it is given up, and admission only closes for as long as
the server asks. If much less is let in then, there was a rate.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

_LESS = 0.97
"""Share of the accepted pace that is used: a bucket that is kept just full rejects by chance."""

_GROWTH_FIRST_PER_S = 0.3
_GROWTH_LAST_PER_S = 0.01
_GROWTH_LESS = 0.3
"""Growth of the pace: from 30 % a second down to 1 %, two thirds less with each rejection. At 1 %, a rate that has
doubled is found within two minutes, at one rejection every few seconds."""

_LEAST_S = 1.0
"""Shortest time over which the first pace is measured: rates count by the second, or longer."""

_MEASURED_S = 5.0
"""Shortest time after which a pace is measured again; before that, chance decides when a bucket is empty."""

_LEAST_LEFT = 0.6
"""Lowest share of a pace that is left after a rejection that comes sooner: so short a measurement is only a hint."""

_LONGER = 1.5
_LONGEST_S = 5.0
"""Admission closes for half as long again with each rejection that nothing was let in before, for up to 5 s."""


_BLOCK = 3
_BLOCKS = 3
"""Episodes that are compared: three by three, since chance decides when a single one begins."""

_FALLS = 0.8
"""How much of the pace is left at most from one block to the next. A rate that is lowered makes one such step."""

_MOST_REJECTED = 1 / 3
"""Largest share of the requests of a block that is rejected: an empty bucket rejects every second one and more."""

_FALLEN = 0.5
"""Share of what was let in from which the pace mattered: without one, much less is let in."""

_MEMORY = 1 / 64
"""Weight of the newest request in the share that is let in while no pace is kept."""


class _Fall:
    """What was let in while the pace fell from one episode to the next."""

    def __init__(self) -> None:
        self._episodes: deque[tuple[float, int, int]] = deque(maxlen=_BLOCK * _BLOCKS)
        self.sent = self.rejected = 0
        """Requests since the last episode began."""

    def ended(self, pace_per_s: float) -> float | None:
        """Note an episode that begins at this pace; return the share that is let in if the pace does not matter."""
        self._episodes.append((pace_per_s, self.sent, self.rejected))
        self.sent = self.rejected = 0
        if len(self._episodes) < _BLOCK * _BLOCKS:
            return None
        blocks = [tuple(map(sum, zip(*block, strict=True))) for block in _in_blocks(list(self._episodes))]
        if any(rejected > _MOST_REJECTED * sent for _, sent, rejected in blocks):
            return None
        if any(later[0] > _FALLS * sooner[0] for sooner, later in pairwise(blocks)):
            return None
        return 1 - sum(block[2] for block in blocks) / sum(block[1] for block in blocks)


def _in_blocks(episodes: Sequence[tuple[float, int, int]]) -> Iterator[Sequence[tuple[float, int, int]]]:
    yield from (episodes[start : start + _BLOCK] for start in range(0, len(episodes), _BLOCK))


class Pace:
    """When the next request may leave."""

    def __init__(self) -> None:
        self.lift()

    def lift(self) -> None:
        """Forget every rejection: there was none yet, or they were one row's own."""
        self.rate_per_s: float | None = None
        """Requests a second; None until a rate was exceeded, infinite while no pace is kept."""
        self._next_s = 0.0
        self._closed_until_s = 0.0
        self._opened_s: float | None = None  # the clock may start anywhere
        self._growth_per_s = _GROWTH_FIRST_PER_S
        self._sent = 0  # since a count began
        self._rejected = 0  # of these
        self._measured_s: float | None = (
            None  # length of the count at the first rejection of an episode; None between episodes
        )
        self._is_sound = False  # whether that was long enough to measure a pace
        self._exceeded_per_s = 0.0  # the pace at the rejection
        self._is_over = False  # whether the next request begins a new count
        self._too_soon = 0  # episodes in a row before which nothing was let in
        self._fall: _Fall | None = _Fall()  # None once the pace was given up
        self._let_in = 1.0  # share of requests, lately, while no pace is kept
        self._least_let_in = 0.0  # below it there is a rate

    @property
    def is_given_up(self) -> bool:
        """Whether the server rejects a share of all requests, whatever the pace."""
        return self.rate_per_s == inf

    def opens_s(self, now_s: float) -> float | None:
        """Return when the next request may leave; None when it may now."""
        opens_s = max(self._closed_until_s, self._next_s)
        return opens_s if opens_s > now_s else None

    def is_closed(self, now_s: float) -> bool:
        """Return whether a rejection holds everything back, not only the pace."""
        return self._closed_until_s > now_s

    def sent(self, now_s: float) -> None:
        """Note that a request leaves."""
        if self._opened_s is None or self._is_over:  # a new count begins
            self._opened_s, self._sent, self._rejected = now_s, 0, 0
        self._measured_s, self._is_over = None, False
        self._sent += 1
        if self.rate_per_s is None:
            return
        if self.is_given_up:
            self._let_in += (1.0 - self._let_in) * _MEMORY
        else:
            if self._fall is not None:
                self._fall.sent += 1
            interval_s = 1 / self.rate_per_s
            self._next_s = max(self._next_s, now_s) + interval_s
            self.rate_per_s *= 1 + self._growth_per_s * min(interval_s, 1.0)

    def exceeded(self, now_s: float, wait_s: float) -> bool:
        """Note a rejection that asks to wait; return whether it begins a new episode."""
        begins = self._measured_s is None
        self._rejected += 1
        if self.is_given_up and self._is_let_in():
            self._measured_s, self._is_over = _LEAST_S, True
            self._closed_until_s = max(self._closed_until_s, now_s + wait_s)
            return begins
        if self._fall is not None:
            self._fall.rejected += 1
        if begins:
            self._begin(now_s - (now_s if self._opened_s is None else self._opened_s))
        if not self._too_soon and not self.is_given_up:
            self._measure()
        # After a long wait a new minute has begun, and the count of the old one means nothing.
        self._is_over = self._is_over or self._is_sound or wait_s >= _MEASURED_S or self._too_soon > 0
        closed_s = max(wait_s, min(wait_s * _LONGER ** min(self._too_soon, 60), _LONGEST_S))
        self._closed_until_s = max(self._closed_until_s, now_s + closed_s)
        return begins

    def _is_let_in(self) -> bool:
        """Note a rejection while no pace is kept; return whether as much is let in as before."""
        self._let_in -= _MEMORY
        if self._let_in < self._least_let_in:
            self.rate_per_s = None
        return self.is_given_up

    def _give_up(self, let_in: float) -> None:
        """Keep no pace as long as so much is let in."""
        self.rate_per_s, self._next_s, self._fall = inf, 0.0, None
        self._let_in, self._least_let_in = let_in, let_in * _FALLEN

    def _measure(self) -> None:
        """Set the pace by what was accepted."""
        assert self._measured_s is not None
        accepted_per_s = max(self._sent - self._rejected, 1) / self._measured_s * _LESS
        if self._is_sound:
            self.rate_per_s = accepted_per_s
        else:
            self.rate_per_s = min(max(accepted_per_s, self._exceeded_per_s * _LEAST_LEFT), self._exceeded_per_s * _LESS)

    def _begin(self, lasted_s: float) -> None:
        """Begin an episode of rejections, `lasted_s` after the count began."""
        self._measured_s = max(lasted_s, _LEAST_S)
        is_too_soon = self.rate_per_s is not None and self._sent <= self._rejected
        self._too_soon = self._too_soon + 1 if is_too_soon else 0
        if is_too_soon:
            return
        if self._fall is not None and self.rate_per_s is not None:
            let_in = self._fall.ended(self.rate_per_s)
            if let_in is not None:
                self._give_up(let_in)
                return
        self._is_sound = self.rate_per_s is None or lasted_s >= _MEASURED_S
        if self.rate_per_s is not None:
            self._exceeded_per_s = self.rate_per_s
            self._growth_per_s = max(self._growth_per_s * _GROWTH_LESS, _GROWTH_LAST_PER_S)
