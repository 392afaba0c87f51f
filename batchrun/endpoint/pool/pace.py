"""How fast requests may leave for a server with a rate limit, learned from its rejections. Pure: time is an argument.

Theory of operation. A 429 that names a rate closes admission for as long as the server asks. If all slots then sent at
once, almost all would be rejected again, for ever. So the first rejection also gives a pace: the requests accepted
until then, over that time. From then on requests leave one by one, a little slower than that. The pace grows, fast at
first, because the first pace may have been that of the ramp. Each further rejection makes it grow more slowly, down to
a percent a second, and lowers it a little. It lowers it more, up to two fifths, while the server accepts less than the
pace: the first pace may have been that of a full bucket, which takes a minute's worth in a second and then a sixtieth
of that. A rejection of what is sent first after another shows no pace: the server only asked to come again too soon.
Then admission closes for longer. Before the first rejection nothing is held back.
"""

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


class Pace:
    """When the next request may leave."""

    def __init__(self) -> None:
        self.lift()

    def lift(self) -> None:
        """Forget every rejection: there was none yet, or they were one row's own."""
        self.rate_per_s: float | None = None
        """Requests a second; None until a rate was exceeded."""
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
        if self.rate_per_s is not None:
            interval_s = 1 / self.rate_per_s
            self._next_s = max(self._next_s, now_s) + interval_s
            self.rate_per_s *= 1 + self._growth_per_s * min(interval_s, 1.0)

    def exceeded(self, now_s: float, wait_s: float) -> bool:
        """Note a rejection that asks to wait; return whether it begins a new episode."""
        begins = self._measured_s is None
        self._rejected += 1
        if begins:
            self._begin(now_s - (now_s if self._opened_s is None else self._opened_s))
        if not self._too_soon:
            self._measure()
        # After a long wait a new minute has begun, and the count of the old one means nothing.
        self._is_over = self._is_over or self._is_sound or wait_s >= _MEASURED_S or self._too_soon > 0
        closed_s = max(wait_s, min(wait_s * _LONGER ** min(self._too_soon, 60), _LONGEST_S))
        self._closed_until_s = max(self._closed_until_s, now_s + closed_s)
        return begins

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
        self._is_sound = self.rate_per_s is None or lasted_s >= _MEASURED_S
        if self.rate_per_s is not None:
            self._exceeded_per_s = self.rate_per_s
            self._growth_per_s = max(self._growth_per_s * _GROWTH_LESS, _GROWTH_LAST_PER_S)
