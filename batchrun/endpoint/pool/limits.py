"""The adaptive limit on requests in flight. Pure: the pool reports what happens, and when.

Theory of operation. A concurrency 429 is not congestion. The server counts, and it accepted all the others. So at the
moment of the rejection it holds exactly the requests that are still in flight. That number is the limit:

- A rejection sets the limit to the requests in flight without it. After a burst that overshot, each rejection lowers
  the limit by one, and the last of them leaves exactly what the server holds. The limit never falls below that.
- `ramp`: while nothing is rejected, each completion makes room for its successor and for `_RAMP` more. Rejections come
  back much sooner than answers, so a ramp that overshoots stops after few requests; doubling at once would have half of
  all requests rejected.
- Before answers come, silence is a sign too, since a rejection would have come: see `silence`.
- `hold`: after a rejection the limit stays. From time to time it probes with one request more than is held. A rejected
  probe doubles the wait before the next. An accepted probe turns to `ramp`, because the limit has risen.

Some servers reject by chance or for other reasons. At a real limit, the request that takes the place of a rejected
request is rejected too, at once. So the first rejection at a level that has held changes nothing, and a second soon
after does.

A probe is accepted when a request that was sent above the held level is answered, or earlier: when several times the
usual delay of a rejection has passed without one. On a busy machine that can be wrong: answers lie unread, so fewer are
in flight than the pool counts, or the rejection lies unread. A ramp that ends where its probe began was a rejected
probe; if many requests were rejected by then, further ramps go by `strides`.

A limit that is not in use shows nothing about the server, so it grows only when it is full. A server that queues
instead of rejecting would be ramped for ever. Its answers take twice as long when twice as many requests are in flight,
so a ramp applies Little's law to each answer: (in flight when it was sent) / (how long it took) is the server's
throughput. When the throughput grows no more from one doubling of the level to the next, the ramp goes back, and holds:
see `gains`.

Where requests are sent by other machines, what happened to them is always known late, and every ramp goes by strides.
"""

from collections.abc import Callable
from typing import NamedTuple

from batchrun.endpoint.pool.gains import APART, Gains
from batchrun.endpoint.pool.silence import SilentGrowth
from batchrun.endpoint.pool.strides import Strides

START = 8
"""The first limit: small enough for a server with one slot, three ramps away from 100."""

_RAMP = 3
"""Slots that a completion adds while ramping, in addition to its own: requests in flight quadruple in the time of one
answer. With 2, a run of 200 answers a slot at a limit of 1,000 used 0.3 % less of the slots' time (`make bench`)."""

_REACH = 4
"""A ramp leads to so many times the highest level that answers have come from."""

_SILENCE = 2
_SILENCE_FIRST = 8
"""Silence leads to so many times that level, and before there are answers to so many times the first limit. A server
that queues is sent no more that way than by answers alone, until its answers show that they gain nothing."""

_PROBE_FIRST_S = 1.0
_PROBE_LAST_S = 30.0
"""Waits between probes; each rejected probe doubles the next wait."""

_PROBE_EVERY = 400
"""Answers after which a probe is due in any case: one rejection for so many answers is 0.25 % of the requests."""

_STRAY_ANSWERS = 3
"""A rejection with no more answers than that since the last rejection belongs to the same episode."""

_QUEUE_FIRST_S = 10.0
_QUEUE_LAST_S = 600.0
"""Waits before a server that queues is tried with more requests again: more gained nothing, so that is not urgent."""

_FALL = 0.75
_FALL_S = 120.0
_PROBE_AFTER_FALL_S = 4.0
"""When a held level falls to three quarters or less, probes are at most 4 s apart for two minutes: slots that were free
a short while ago may soon be free again."""

_CONFIRM_REJECTIONS = 4.0
"""A probe is accepted after this many times the usual delay of a rejection."""

_MOVING_S = 0.5
"""A limit that has not changed for so long stands still."""

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
        strides: Strides | None = None,
        silence: SilentGrowth | None = None,
    ) -> None:
        """Begin.

        Args:
            ceiling: never exceeded; at least 1.
            start: the first limit.
            known: whether `start` was learned before; then the limit holds it instead of ramping from it.
            on_change: called with every change.
            strides: bound the growth where news of requests comes late; None where it comes at once.
            silence: growth before answers come; None where only answers let the limit grow.
        """
        self.ceiling = ceiling
        self._is_late = strides is not None  # news of requests
        self._strides = strides or Strides(1)
        self._silence = silence  # None once it is broken
        self._most = ceiling
        self.current = max(1, min(start, ceiling))
        self._on_change = on_change
        self._ramping = not known
        self._held = self.current  # the level that the server was seen to hold; a probe is above it
        self._is_wary = False  # whether a ramp after a probe was in vain, and many requests were rejected
        self._burst = 0  # rejections without an answer between them
        self._probed: int | None = None  # the level below the probe that is tried, or that the ramp began with
        self._probe_wait_s = self._waited_s = _PROBE_FIRST_S  # before the next probe, and before the last one
        self._probe_at_s = 0.0 if known else _NEVER
        self._answers = 0  # since the last probe
        self._answered = self.current  # the highest level of an answer
        self._fell_s = -_NEVER
        self._changed_s = -_NEVER
        self._full_s = _NEVER  # since when a probe's extra slot is in use
        self._rejection_s: float | None = None  # usual delay
        self._rejected_s = -_NEVER
        self._answers_since = 0  # since the last rejection
        self._before_fall = self.current
        self._falling = False  # whether the last change was downward
        self._overshot = False  # whether that ended a ramp
        self._gains = self._new_gains()
        self._queue_wait_s = _QUEUE_FIRST_S

    def __repr__(self) -> str:
        state = "ramp" if self._ramping else "probe" if self.current > self._held else "hold"
        return f"<Limit {self.current} of {self.ceiling}, {state}>"

    @property
    def held(self) -> int:
        """The level that the server was seen to hold."""
        return self._held

    def is_moving(self, now_s: float) -> bool:
        """Whether it grows or probes just now, so that news of requests should come fast."""
        return now_s - self._changed_s < _MOVING_S and (self._ramping or self.current > self._held)

    def _new_gains(self) -> Gains:
        return Gains(apart=APART) if self._is_late else Gains()

    def completed(self, level: int, latency_s: float, in_flight: int, now_s: float) -> None:
        """Note that a request was answered.

        Args:
            level: how many were in flight when it was sent, itself included.
            latency_s: how long it took.
            in_flight: how many are left.
            now_s: the time.
        """
        self._answers += 1
        self._answers_since += 1
        if level > self._answered:
            self._answered = level
        if self._answers == _PROBE_EVERY and self._probe_wait_s > _PROBE_FIRST_S:
            self._probe_at_s = min(self._probe_at_s, max(now_s, self._changed_s + _PROBE_FIRST_S))
        if in_flight + 1 < self.current:
            return  # the limit was not in use
        if self._ramping:
            self._ramp(level, latency_s, now_s)
        elif self.current > self._held:
            self._full_s = min(self._full_s, now_s)
            is_answered = level > self._held and now_s - latency_s >= self._changed_s
            if is_answered or now_s - self._full_s > self._confirmation_s():
                self._ramping, self._silence = True, None
                self._strides.restart(now_s)
                self._grow(_RAMP, now_s, "a probe was accepted")
        elif now_s >= self._probe_at_s:
            self._probe(now_s)

    def grow_in_silence(self, now_s: float) -> float | None:
        """Grow if nothing was rejected for a while, all slots being in use; return when to ask again, if at all."""
        reach = min(self._most, max(_SILENCE_FIRST * START, _SILENCE * self._answered))
        if self._silence is None or not self._ramping or self.current >= reach:
            return None
        by, again_s = self._silence.growth(self.current, now_s)
        if by:
            self._grow(min(by, reach - self.current), now_s, "nothing was rejected")
        return again_s

    def break_silence(self) -> None:
        """Note that an attempt has failed, for whatever reason: from now on only answers let the limit grow."""
        self._silence = None

    def _probe(self, now_s: float) -> None:
        self._answers = 0
        self._full_s = _NEVER
        held = self.current
        self._grow(1, now_s, "probe")
        self._held = self._probed = held
        self._waited_s = self._probe_wait_s

    def _ramp(self, level: int, latency_s: float, now_s: float) -> None:
        """Make room for more requests, unless the answers show that more requests gain nothing."""
        enough = self._gains.answered(level, latency_s)
        if enough is None:
            if self.current < min(self._most, max(_SILENCE_FIRST * START, _REACH * self._answered)):
                self._grow(_RAMP, now_s, "ramp")
            return
        self._ramping = False
        self._probe_at_s = now_s + self._queue_wait_s
        self._queue_wait_s = min(self._queue_wait_s * 2, _QUEUE_LAST_S)
        self._set(min(enough, self.current), now_s, "more gained nothing")
        self._held = self.current

    def throttled(self, in_flight: int, delay_s: float, now_s: float) -> None:
        """Note that a request was rejected for concurrency after `delay_s`; `in_flight` are left."""
        is_stray = self._is_stray(now_s)
        self._burst = 1 if self._answers_since else self._burst + 1
        self._rejected_s, self._answers_since = now_s, 0
        if is_stray:
            return
        self._rejection_s = delay_s if self._rejection_s is None else 0.8 * self._rejection_s + 0.2 * delay_s
        left = max(1, min(self.current, in_flight))
        was_in_vain = self._probed is not None and left <= self._probed
        self._gains = self._new_gains()
        if not self._is_late:
            self._strides.lag_s = self._confirmation_s() / 2
        self._strides.restart(now_s)
        if not self._falling:
            self._falling = True
            self._before_fall = self._held
            self._overshot = self._ramping
        self._ramping = False
        self._set(left, now_s, "a probe was rejected" if was_in_vain else "rejected")
        self._held = self.current
        if self.current <= _FALL * self._before_fall and not self._overshot:
            self._fell_s = now_s
        longest_s = _PROBE_AFTER_FALL_S if now_s - self._fell_s < _FALL_S else _PROBE_LAST_S
        self._probe_wait_s = min(self._waited_s * 2, longest_s) if was_in_vain else _PROBE_FIRST_S
        if was_in_vain:
            self._probed, self._is_wary = None, self._is_wary or self._burst > _STRAY_ANSWERS
        self._probe_at_s = now_s + self._probe_wait_s
        self._answers = 0

    def _is_stray(self, now_s: float) -> bool:
        """Return whether a rejection at a held level may be chance: at a real limit the next is rejected too."""
        is_holding = not self._ramping and self.current == self._held
        soon_s = _CONFIRM_REJECTIONS * (self._rejection_s or 0.0)
        return is_holding and self._answers_since > _STRAY_ANSWERS and now_s - self._rejected_s > soon_s

    def cap(self, most: int | None, now_s: float) -> None:
        """Stay at or below `most`, because others share the limit; None lifts that. Never exceeds the ceiling."""
        self._most = self.ceiling if most is None else max(1, min(most, self.ceiling))
        if self.current > self._most:
            self._ramping = False
            self._set(self._most, now_s, "shared")
            self._held = self.current
            self._probe_at_s = now_s + self._probe_wait_s

    def restore(self, now_s: float) -> None:
        """Go back to the level before the last fall: for a while the server let nothing in, and now it does again."""
        self._set(min(self._before_fall, self._most), now_s, "the endpoint is back")
        self._held = self.current
        self._falling = False
        self._probe_at_s = now_s + self._probe_wait_s

    def faltered(self, now_s: float) -> None:
        """Note a failure for another reason than a concurrency limit: growth stops for a while."""
        probing = self.current > self._held
        if probing:
            self._probed = None
            self._set(self._held, now_s, "a probe failed")
        if self._ramping or probing:
            self._ramping = False
            self._probe_at_s = now_s + self._probe_wait_s

    def _confirmation_s(self) -> float:
        return _NEVER if self._rejection_s is None else _CONFIRM_REJECTIONS * self._rejection_s

    def _grow(self, by: int, now_s: float, reason: str) -> None:
        if self._ramping and (self._is_late or (self._is_wary and self._probed is not None)):
            by = self._strides.take(by, now_s, self.ceiling)
        self._set(min(self.current + by, self._most), now_s, reason)
        self._falling = False
        if self._ramping:
            self._held = self.current

    def _set(self, limit: int, now_s: float, reason: str) -> None:
        if limit != self.current:
            self.current = limit
            self._changed_s = now_s
            self._on_change(Change(now_s, limit, reason))
