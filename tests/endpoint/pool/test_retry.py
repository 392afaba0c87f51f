"""How long a request waits before it is sent again."""

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.retry import MAX_ADVICE_S, Backoff, advice_s, backoff_s

NOW_S = 1_700_000_000.0

POLICIES = st.builds(Backoff, base_s=st.floats(0.001, 100), cap_s=st.floats(0.001, 1_000))


@given(st.integers(1, 10_000), POLICIES, st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_below_the_cap_and_below_the_doubled_base(attempt: int, policy: Backoff, chance: float) -> None:
    """Exponential with full jitter, for any number of attempts."""
    wait_s = backoff_s(attempt, policy, lambda: chance)
    assert 0 <= wait_s <= policy.cap_s
    if attempt <= 60:
        assert wait_s <= policy.base_s * 2 ** (attempt - 1)


def test_the_jitter_is_full_and_the_bound_doubles() -> None:
    """The mean wait is half of the bound, and the bound doubles until the cap."""
    uniform = random.Random(1).random
    for attempt, bound_s in ((1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (50, 8.0)):
        waits = [backoff_s(attempt, Backoff(), uniform) for _ in range(2_000)]
        assert max(waits) < bound_s
        assert sum(waits) / len(waits) == pytest.approx(bound_s / 2, rel=0.05)


LEFT, NONE_LEFT = {"x-ratelimit-remaining-tokens": "9"}, {"x-ratelimit-remaining-tokens": "0"}

ADVICE = [
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "6m0s"}, MAX_ADVICE_S),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "1.5s"}, 1.5),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "250ms"}, 0.25),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "7"}, 7.0),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": str(int(NOW_S) + 7)}, 7.0),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": str(int(NOW_S) * 1000 + 7000)}, 7.0),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "soon"}, None),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "nan"}, None),
    ({**NONE_LEFT, "x-ratelimit-reset-requests": "9"}, None),
    ({**LEFT, "x-ratelimit-reset-tokens": "9"}, None),
    ({"x-ratelimit-reset-tokens": "9"}, None),
    ({**NONE_LEFT, "x-ratelimit-reset-tokens": "9", "retry-after": "2"}, 2.0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "3"}, 3.0),
    ({}, None),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": " 7 "}, 7.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "-3"}, 0.0),
    ({"retry-after": "121"}, MAX_ADVICE_S),
    ({"retry-after": "1e300"}, MAX_ADVICE_S),
    ({"retry-after": "9" * 400}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "7 s"}, None),
    ({"retry-after": formatdate(NOW_S + 30, usegmt=True)}, 30.0),
    ({"retry-after": formatdate(NOW_S + 30, localtime=True)}, 30.0),
    ({"retry-after": formatdate(NOW_S - 30, usegmt=True)}, 0.0),
    ({"retry-after": formatdate(NOW_S + 9_000, usegmt=True)}, MAX_ADVICE_S),
    ({"retry-after": "Wed, 99 Foo 2026 07:28:00 GMT"}, None),
    ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
    ({"retry-after-ms": "soon", "retry-after": "60"}, 60.0),
    ({"llm_provider-retry-after": "12"}, 12.0),
    ({"retry-after": "3", "llm_provider-retry-after": "12"}, 3.0),
    ({"retry-after": "?", "llm_provider-retry-after": "12"}, 12.0),
]


@pytest.mark.parametrize(("headers", "seconds"), ADVICE)
def test_every_spelling_of_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, dates and a proxy's own name; nonsense is ignored, and no wait exceeds two minutes."""
    assert advice_s(headers, NOW_S) == seconds


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [\w+-]+"), st.floats(0, 1e10))
def test_any_header_is_ignored_or_a_wait_within_bounds(value: str, now_s: float) -> None:
    """No header raises an error or makes a request wait for ever."""
    for name in ("retry-after", "retry-after-ms", "llm_provider-retry-after"):
        seconds = advice_s({name: value}, now_s)
        assert seconds is None or 0 <= seconds <= MAX_ADVICE_S
