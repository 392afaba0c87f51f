"""How fast a server with a rate limit may be sent to, learned from its rejections. Pure: time is an argument.

Theory of operation. A 429 that names a rate closes admission for as long as it says. If all slots then sent at once,
all but a few would be rejected again, for ever. So the first rejection also tells a pace: what was accepted until then,
over that time. From then on requests leave one by one, at a little less than that pace. It grows, fast at first, since
the first pace may have been the ramp's; each further rejection takes a little off, and makes it grow more slowly, down
to a percent a second. Before any rejection there is no pace, and nothing is held back.
"""

_LESS = 0.97
"""Of the pace that was accepted: a bucket that is kept just full rejects by chance."""

_GROWTH_FIRST_PER_S = 0.3
_GROWTH_LAST_PER_S = 0.01
_GROWTH_LESS = 0.3
"""Growth of the pace: from 30 % a second to 1 %, by two thirds less with each rejection. At the last, a rate that has
doubled is found within two minutes, at one rejection every few seconds."""

_LEAST_S = 1.0
"""Shortest time that the first pace is measured over: rates count by the second, or longer."""

_MEASURED_S = 5.0
"""Shortest time after which a pace is measured anew; after less, chance decides when a bucket is empty."""


class Pace:
    """When the next request may leave."""

    def __init__(self) -> None:
        self.rate_per_s: float | None = None
        """Requests a second; None until a rate was exceeded."""
        self._next_s = 0.0
        self._closed_until_s = 0.0
        self._opened_s: float | None = None  # the clock may start anywhere
        self._growth_per_s = _GROWTH_FIRST_PER_S
        self._sent = 0  # since then
        self._rejected = 0  # of those
        self._measured_s: float | None = None

    def opens_s(self, now_s: float) -> float | None:
        """Return when the next request may leave; None when it may now."""
        opens_s = max(self._closed_until_s, self._next_s)
        return opens_s if opens_s > now_s else None

    def is_closed(self, now_s: float) -> bool:
        """Return whether a rejection keeps everything back, beyond the pace."""
        return self._closed_until_s > now_s

    def sent(self, now_s: float) -> None:
        """Note that a request leaves."""
        if self._rejected or self._opened_s is None:  # the first since a rejection: a new count begins
            self._opened_s, self._sent, self._rejected, self._measured_s = now_s, 0, 0, None
        self._sent += 1
        if self.rate_per_s is not None:
            interval_s = 1 / self.rate_per_s
            self._next_s = max(self._next_s, now_s) + interval_s
            self.rate_per_s *= 1 + self._growth_per_s * min(interval_s, 1.0)

    def exceeded(self, now_s: float, wait_s: float) -> bool:
        """Note a rejection that asks to wait; return whether it begins a new episode."""
        begins = not self._rejected
        self._rejected += 1
        measured_s = now_s - (now_s if self._opened_s is None else self._opened_s)
        if begins and self.rate_per_s is not None:
            self._growth_per_s = max(self._growth_per_s * _GROWTH_LESS, _GROWTH_LAST_PER_S)
        if begins and self.rate_per_s is not None and measured_s < _MEASURED_S:
            self.rate_per_s *= _LESS
        elif begins:
            self._measured_s = max(measured_s, _LEAST_S)
        if self._measured_s is not None:
            self.rate_per_s = max(self._sent - self._rejected, 1) / self._measured_s * _LESS
        self._closed_until_s = max(self._closed_until_s, now_s + wait_s)
        return begins
