"""How long to wait before the next attempt. Pure: time and chance are arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from batchrun.endpoint.pool.reason import span_s
from batchrun.endpoint.pool.verdicts import Verdict
from batchrun.records import Fault, Reply

MAX_ADVICE_S = 120.0
"""Longest `Retry-After` that is obeyed. Precedent: the openai client obeys up to 120 s."""

_RATES = ("-requests", "-tokens", "")
"""How the headers of a rate end: `x-ratelimit-remaining-requests`."""

_AGES_S = 1e9
"""Numbers above it are times: seconds since 1970, or milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How waits grow."""

    base_s: float = 0.5
    """Bound of the first wait. Precedent: the openai client, 0.5 s."""
    cap_s: float = 8.0
    """Longest wait. Precedent: the openai client, 8 s. Outages are waited out by `health`, not here."""


def backoff_s(attempt: int, policy: Backoff, uniform: Callable[[], float]) -> float:
    """Return the wait before the next attempt: exponential with full jitter.

    Args:
        attempt: number of the attempt that failed, 1-based.
        policy: `base_s` and `cap_s`, both > 0.
        uniform: source of numbers in [0, 1); seeded in tests.

    Returns:
        Seconds in [0, min(cap_s, base_s * 2 ** (attempt - 1))).

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    return uniform() * min(policy.cap_s, policy.base_s * 2.0 ** min(attempt - 1, 60))


def advice_s(headers: Mapping[str, str], now_unix_s: float) -> float | None:
    """Return how long the server asks to wait, in [0, `MAX_ADVICE_S`]; None without a time, or with a nonsensical one.

    Args:
        headers: lower-case names. Reads `retry-after-ms`, `retry-after` (seconds, or an HTTP date), and the name
            under which a LiteLLM proxy passes on an upstream's: `llm_provider-retry-after`. Without these, the
            `x-ratelimit-reset` of requests or tokens, if its `x-ratelimit-remaining` is 0.
        now_unix_s: the time that a date is compared with.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0), ("llm_provider-retry-after", 1.0)):
        if name in headers:
            seconds = _seconds(headers[name], unit_s, now_unix_s)
            if seconds is not None:
                return min(max(seconds, 0.0), MAX_ADVICE_S)
    resets = [_reset_s(headers, what, now_unix_s) for what in _RATES]
    known = [seconds for seconds in resets if seconds is not None]
    return min(max(*known, 0.0), MAX_ADVICE_S) if known else None


def _reset_s(headers: Mapping[str, str], what: str, now_unix_s: float) -> float | None:
    """Return when a rate counts from zero again, if nothing of it is left."""
    if headers.get(f"x-ratelimit-remaining{what}") != "0":
        return None
    value = headers.get(f"x-ratelimit-reset{what}", "")
    try:
        seconds = float(value)
    except ValueError:
        return span_s(value)
    if seconds > _AGES_S:  # a time and not a span
        seconds = (seconds / 1000 if seconds > 1000 * _AGES_S else seconds) - now_unix_s
    return seconds if 0 <= seconds < float("inf") else None


def advised_s(result: Reply | Fault, verdict: Verdict, now_unix_s: float) -> float | None:
    """Return how long a reply asks to wait, in its headers or else in its body; in [0, `MAX_ADVICE_S`]."""
    advice = advice_s(result.headers, now_unix_s) if isinstance(result, Reply) else None
    if advice is None and verdict.reason.advice_s is not None:
        advice = min(verdict.reason.advice_s, MAX_ADVICE_S)
    return advice


def _seconds(value: str, unit_s: float, now_unix_s: float) -> float | None:
    try:
        seconds = float(value) * unit_s
    except ValueError:
        return _seconds_until(value, now_unix_s)
    return seconds if abs(seconds) < float("inf") else None


def _seconds_until(date: str, now_unix_s: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - now_unix_s
    except (ValueError, OverflowError):
        return None
