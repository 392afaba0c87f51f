"""The limit on requests in flight that adapts. Pure: the pool tells it what happens, and when.

Theory of operation. A concurrency 429 is not congestion. The server counts; it accepted all the others; so at the
moment of the rejection it holds exactly the requests that we still have in flight. That number is the limit. So:

- A rejection sets the limit to what is in flight without it. Of a burst that overshot, each rejection takes one off,
  and the last of them leaves exactly what the server holds. Nothing is halved, and nothing falls below what was held.
- `ramp`: while nothing is rejected, each completion makes room for its successor and for `_RAMP` more. Rejections
  come back much sooner than answers, so a ramp that overshoots is told so after few requests, where doubling at once
  would have a whole half rejected.
- `hold`: after a rejection the limit stays. From time to time it probes: one more than is held. A probe that is
  rejected doubles the wait before the next; one that is accepted turns to `ramp`, since the limit has risen.

A probe counts as accepted when a request that was sent above the held level is answered, or earlier: when several times
the delay of a usual rejection has passed without one.

A limit that was not in use says nothing about the server: it grows only when full.
"""

from collections.abc import Callable
from typing import NamedTuple

START = 8
"""Requests in flight before anything is known: small enough for a server with one slot, three ramps from 100."""

_RAMP = 2
"""Slots that a completion adds while ramping, beside its own: in flight triples in the time of one answer."""

_PROBE_FIRST_S = 1.0
_PROBE_LAST_S = 30.0
"""Waits between probes. At 20 slots of half a second, one probe in 30 s is 0.08 % of the requests."""

_CONFIRM_REJECTIONS = 4.0
"""A probe is accepted after so many times the delay of a usual rejection."""

_NEVER = float("inf")


class Change(NamedTuple):
    """The limit has changed."""

    at_s: float
    limit: int
    reason: str


class Limit:
    """How many requests may be in flight now."""

    def __init__(
        self,
        ceiling: int,
        *,
        start: int = START,
        known: bool = False,
        on_change: Callable[[Change], None] = lambda change: None,
    ) -> None:
        """Begin.

        Args:
            ceiling: never exceeded; at least 1.
            start: the first limit.
            known: `start` was learned before: hold it, instead of ramping from it.
            on_change: told of every change.
        """
        self.ceiling = ceiling
        self.current = max(1, min(start, ceiling))
        self._on_change = on_change
        self._ramping = not known
        self._epoch = 1
        self._held = self.current  # what the server was seen to hold; a probe is above it
        self._probe_wait_s = _PROBE_FIRST_S
        self._probe_at_s = 0.0 if known else _NEVER
        self._probe_full_s = _NEVER  # since when a probe's extra slot is in use
        self._rejection_s: float | None = None  # usual delay of a rejection
        self._before_fall = self.current
        self._falling = False  # whether the last change was downward

    def __repr__(self) -> str:
        state = "ramp" if self._ramping else "probe" if self.current > self._held else "hold"
        return f"<Limit {self.current} of {self.ceiling}, {state}>"

    def admitted(self, in_flight: int, now_s: float) -> int:
        """Note that a request is sent, as the `in_flight`-th. Returns a ticket for `completed`."""
        if in_flight <= self._held:
            return 0
        if self._probe_full_s == _NEVER and in_flight >= self.current:
            self._probe_full_s = now_s
        return self._epoch

    def completed(self, ticket: int, in_flight: int, now_s: float) -> None:
        """Note that a request was answered; `in_flight` are left."""
        if in_flight + 1 < self.current:
            return  # the limit was not in use
        if self._ramping:
            self._grow(_RAMP, now_s, "ramp")
        elif self.current > self._held:
            if ticket == self._epoch or now_s - self._probe_full_s > self._confirmation_s():
                self._ramping = True
                self._probe_wait_s = _PROBE_FIRST_S
                self._grow(_RAMP, now_s, "a probe was accepted")
        elif now_s >= self._probe_at_s:
            self._probe_full_s = _NEVER
            held = self.current
            self._grow(1, now_s, "probe")
            self._held = held

    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None:
        """Note that a request was rejected for concurrency after `delay_s`; `in_flight` are left."""
        self._rejection_s = delay_s if self._rejection_s is None else 0.8 * self._rejection_s + 0.2 * delay_s
        probing = not self._ramping and self.current > self._held
        self._probe_wait_s = min(self._probe_wait_s * 2, _PROBE_LAST_S) if probing else _PROBE_FIRST_S
        self._probe_at_s = now_s + self._probe_wait_s
        self._ramping = False
        if not self._falling:
            self._before_fall = self._held
        self._falling = True
        self._set(max(1, min(self.current, in_flight)), now_s, "a probe was rejected" if probing else "rejected")
        self._held = self.current

    def restore(self, now_s: float) -> None:
        """Go back to the level before the last fall: nothing was let in for a while, and now it is again."""
        self._set(self._before_fall, now_s, "the endpoint is back")
        self._held = self.current
        self._falling = False
        self._probe_at_s = now_s + self._probe_wait_s

    def faltered(self, now_s: float) -> None:
        """Note that a request failed for a reason that is no concurrency limit: growth stops for a while."""
        probing = self.current > self._held
        if probing:
            self._set(self._held, now_s, "a probe failed")
        if self._ramping or probing:
            self._ramping = False
            self._probe_at_s = now_s + self._probe_wait_s

    def _confirmation_s(self) -> float:
        return _NEVER if self._rejection_s is None else _CONFIRM_REJECTIONS * self._rejection_s

    def _grow(self, by: int, now_s: float, reason: str) -> None:
        self._set(min(self.current + by, self.ceiling), now_s, reason)
        self._falling = False
        if self._ramping:
            self._held = self.current

    def _set(self, limit: int, now_s: float, reason: str) -> None:
        if limit != self.current:
            self.current = limit
            self._epoch += 1
            self._on_change(Change(now_s, limit, reason))
