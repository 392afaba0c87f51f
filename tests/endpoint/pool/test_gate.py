"""When the user's rates let requests leave, on a virtual clock."""

import asyncio
from collections.abc import Sequence

import pytest
from harness.clock import run_virtually
from harness.runs import rates_by_bytes

from batchrun.endpoint.pool.gate import Gate
from batchrun.endpoint.pool.rates import Rates
from batchrun.records import Request


def request(size: int) -> Request:
    return Request(0, "m", 0, b"", b"x" * size, None)


def leave(rates: Rates, sizes: Sequence[int]) -> list[float]:
    """Return when requests of these sizes may leave, one after the other."""

    async def main() -> list[float]:
        times = []
        gate = Gate(rates)
        for size in sizes:
            await gate.wait(request(size))
            times.append(asyncio.get_running_loop().time())
        return times

    return run_virtually(main())


def most_in_a_minute(times: list[float], weights: Sequence[float]) -> float:
    """Return the most that left in any minute; the minute includes its beginning and not its end."""
    most = total = 0.0
    first = 0
    for last, time_s in enumerate(times):
        total += weights[last]
        while times[first] <= time_s - 60 + 1e-6:
            total -= weights[first]
            first += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("per_minute", [1, 7, 60, 119, 130, 600, 10_000])
def test_no_minute_sees_more_requests_than_allowed_and_hardly_fewer(per_minute: int) -> None:
    """Any sixty seconds hold at most the rate, the first burst included, and 98.5 % of the rate are used."""
    count = min(3 * per_minute, 12_000) + 2
    times = leave(rates_by_bytes(per_minute, None), [100] * count)
    assert most_in_a_minute(times, [1] * count) <= per_minute
    assert count / (times[-1] + 60 / per_minute) * 60 >= 0.985 * per_minute


def test_requests_leave_smoothly() -> None:
    """At six hundred a minute no second sees more than ten and half a second's burst."""
    times = leave(rates_by_bytes(600, None), [100] * 600)
    assert max(sum(1 for each in times if start <= each < start + 1) for start in range(60)) <= 15


@pytest.mark.parametrize("sizes", [[400, 40, 200], [400, 4_000, 40, 12_000]])
def test_no_minute_sees_more_tokens_than_allowed(sizes: list[int]) -> None:
    """Small and large requests mixed: their expected tokens keep the rate, except for part of one in each minute."""
    times = leave(rates_by_bytes(None, 6_000), sizes * 80)
    assert most_in_a_minute(times, [size / 4 for size in sizes * 80]) <= 6_000 + max(sizes) / 4
    assert sum(sizes) * 80 / 4 / times[-1] * 60 >= 0.95 * 6_000


def test_a_request_larger_than_a_minutes_tokens_takes_its_time() -> None:
    """It is not refused and does not wait for ever: it takes as many minutes as it needs."""
    times = leave(rates_by_bytes(None, 1_000), [4 * 3_000, 4])
    assert times[0] == pytest.approx(180, rel=0.02)


def test_both_rates_hold_at_once() -> None:
    """The slower of the two decides."""
    assert leave(rates_by_bytes(60, 6_000_000), [400] * 61)[-1] == pytest.approx(60, rel=0.02)
    assert leave(rates_by_bytes(6_000, 600), [400] * 7)[-1] == pytest.approx(70, rel=0.05)


def test_answers_teach_how_many_tokens_a_request_uses() -> None:
    """After answers that used twice the expected tokens, half as many leave; without counts they teach nothing."""
    taught, untaught = rates_by_bytes(None, 6_000), rates_by_bytes(None, 6_000)
    for _ in range(200):
        taught.learn(request(400), 200)
        untaught.learn(request(400), None)
    assert leave(taught, [400] * 60)[-1] == pytest.approx(2 * leave(untaught, [400] * 60)[-1], rel=0.05)


def test_a_request_waits_for_its_expected_tokens_not_for_its_bytes() -> None:
    """A megabyte of an image is some hundred tokens: sixty of them are gone in a minute."""
    times = leave(Rates(None, 60_000, lambda request: 1_000), [1_000_000] * 60)
    assert times[-1] == pytest.approx(60, rel=0.02)


def test_without_rates_nothing_waits() -> None:
    """However much is sent."""
    assert max(leave(rates_by_bytes(None, None), [100] * 5)) < 1e-6
