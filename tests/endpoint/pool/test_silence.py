"""A limit grows while no rejection comes: the steps by themselves, in a limit, and in a run."""

import pytest
from harness.endpoints import Endpoint
from harness.runs import send_all

from batchrun.endpoint.pool.limits import START, Limit
from batchrun.endpoint.pool.silence import SilentGrowth
from batchrun.records import Reply


def grown(limit: Limit, until_s: float, now_s: float = 0.0) -> int:
    """Return the limit after so long in silence, all its slots being in use."""
    while now_s <= until_s:
        again_s = limit.grow_in_silence(now_s)
        if again_s is None:
            break
        now_s = again_s
    return limit.current


def near() -> SilentGrowth:
    """Return the silence of an endpoint whose connections open at once."""
    return SilentGrowth(lambda: 0.0)


def test_the_first_step_waits_for_the_time_of_two_doublings_and_each_doubling_takes_as_long() -> None:
    """0.05 s each where connections open at once."""
    assert grown(Limit(5_000, silence=near()), 0.09) == START
    assert grown(Limit(5_000, silence=near()), 0.151) == pytest.approx(2 * START, abs=1)
    assert grown(Limit(5_000, silence=near()), 0.201) == pytest.approx(4 * START, rel=0.1)


def test_where_a_connection_takes_long_to_open_a_doubling_takes_twice_as_long_as_that() -> None:
    """A rejection comes from as far away."""
    assert grown(Limit(5_000, silence=SilentGrowth(lambda: 0.2)), 0.79) == START
    assert grown(Limit(5_000, silence=SilentGrowth(lambda: 0.2)), 1.201) == pytest.approx(2 * START, abs=1)


def test_without_a_connection_nothing_grows_however_long_it_takes() -> None:
    """An endpoint that cannot be reached is silent too."""
    opened: list[float] = []
    limit = Limit(5_000, silence=SilentGrowth(lambda: opened[0] if opened else None))
    assert grown(limit, 60.0) == START
    opened.append(0.0)
    assert grown(limit, 61.0, 60.0) > START


def test_before_an_answer_silence_leads_to_eight_times_the_first_limit() -> None:
    """A server that queues is silent for ever."""
    assert grown(Limit(5_000, silence=near()), 600.0) == 8 * START


def test_after_an_answer_it_leads_to_twice_the_level_of_its_request() -> None:
    """That many were served at once."""
    limit = Limit(5_000, silence=near())
    grown(limit, 1.0)
    limit.completed(50, 0.5, limit.current - 1, 1.0)
    assert grown(limit, 600.0, 1.0) == 100


@pytest.mark.parametrize("ceiling", [1, 8, 20])
def test_the_ceiling_is_never_passed_in_silence(ceiling: int) -> None:
    """What the user allows holds from the first request on."""
    assert grown(Limit(ceiling, silence=near()), 600.0) == ceiling


@pytest.mark.parametrize(
    "spoil",
    [
        lambda limit: limit.break_silence(),
        lambda limit: limit.throttled(START, 0.005, 0.0),
        lambda limit: limit.faltered(0.0),
        lambda limit: limit.cap(4, 0.0),
    ],
    ids=["failure", "rejection", "failures", "share"],
)
def test_whatever_is_not_an_answer_ends_the_growth(spoil) -> None:
    """From then on only answers let the limit grow."""
    limit = Limit(5_000, silence=near())
    spoil(limit)
    level = limit.current
    assert grown(limit, 600.0) == level


def test_a_limit_that_is_known_does_not_grow_in_silence() -> None:
    """It holds what was learned, and probes one by one."""
    assert grown(Limit(5_000, start=40, known=True, silence=near()), 600.0) == 40


def test_growth_in_silence_is_over_when_a_probe_is_accepted_later() -> None:
    """A ramp in the middle of a run goes by answers."""
    limit = Limit(5_000, silence=near())
    limit.throttled(20, 0.005, 0.0)
    limit.completed(limit.current, 0.5, limit.current - 1, 2.0)  # which sends a probe
    limit.completed(limit.current, 0.5, limit.current - 1, 3.0)  # the answer to it
    level = limit.current
    assert grown(limit, 600.0, 3.0) == level


def test_requests_are_sent_before_the_first_answer_comes() -> None:
    """As many as silence leads to, at an endpoint that takes a minute for an answer."""
    endpoint = Endpoint(lambda now_s: 10**9, lambda chance, busy, now_s: 60.0 if now_s < 60 else 0.5)
    send_all(endpoint, 64, limit=Limit(5_000, silence=near()))
    assert endpoint.peak == 64


def test_a_job_that_is_refused_sends_no_more_because_of_silence() -> None:
    """The first refusal ends the growth: rows that would be refused too stay unsent."""
    refusals = lambda now_s, body: Reply(401, {}, b'{"error": {"message": "bad key"}}', 0.02)  # noqa: E731
    asked = {name: Endpoint(lambda now_s: 100, trouble=refusals) for name in ("in silence", "by answers")}
    send_all(asked["in silence"], 500, limit=Limit(5_000, silence=near()))
    send_all(asked["by answers"], 500, limit=Limit(5_000))
    assert asked["in silence"].received == asked["by answers"].received


def test_a_server_with_one_slot_that_queues_is_not_sent_more_than_by_answers_alone() -> None:
    """What waits there would run into its timeout."""
    queues = lambda chance, busy, now_s: 1.0 * busy  # noqa: E731
    endpoint = Endpoint(lambda now_s: 10**9, queues)
    send_all(endpoint, 400, limit=Limit(5_000, silence=near()))
    assert endpoint.peak_sent <= 100
