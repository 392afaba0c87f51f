"""How long a request waits, by what the server says and by what it met before."""

import pytest
from harness.endpoints import refusal

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.pace import Pace
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.retry import Backoff
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.endpoint.pool.waits import Waits
from batchrun.records import Reply, Request


def failed(result: Reply, setbacks: int = 1) -> Work:
    work = Work(Request(0, "m", 0, b"", b"", None), 5)
    work.failure = (result, judge(result))
    work.setbacks = work.throttled = setbacks
    return work


WAITS = [
    (refusal(500), 1, 0.25),
    (refusal(500), 3, 1.0),
    (refusal(500, "", retry_after="20"), 1, 20.0),
    (refusal(500, "", retry_after="900"), 1, 120.0),
    (refusal(500, "try again in 15m0s"), 1, 120.0),
    (refusal(500, "", retry_after="0"), 1, 0.25),
    (refusal(429, "slow down"), 1, 0.05),
    (refusal(429, "slow down", retry_after="20"), 1, 20.0),
    (refusal(429, "too many requests in flight", retry_after="20"), 1, 2.0),
]


@pytest.mark.parametrize(("result", "setbacks", "wait_s"), WAITS)
def test_a_request_waits_longer_each_time_or_as_long_as_the_server_asks(
    result: Reply, setbacks: int, wait_s: float
) -> None:
    """With chance at one half; advice up to two minutes, and up to 2 s where a slot frees sooner."""
    waits = Waits(Pace(), Backoff(), uniform=lambda: 0.5, unix_s=lambda: 0.0)
    work = failed(result, setbacks)
    assert waits.wait_s(work, EFFECTS[work.kind], 0.0) == pytest.approx(wait_s)


def test_a_rate_closes_admission_for_all_and_longer_with_each_episode_until_a_success() -> None:
    """Rejections while it is closed belong to the same episode."""
    pace = Pace()
    waits = Waits(pace, Backoff(), uniform=lambda: 0.5, unix_s=lambda: 0.0)
    work = failed(refusal(429, "requests per minute exceeded"))
    effect = EFFECTS[work.kind]
    pace.sent(0.0)
    assert waits.wait_s(work, effect, 1.0) == 1.0
    assert pace.is_closed(1.5)
    assert waits.wait_s(work, effect, 1.1) == 2.0
    waits.answered()
    pace.sent(9.0)
    assert waits.wait_s(work, effect, 10.0) == 1.0
