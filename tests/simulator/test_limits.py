import asyncio
import time

import pytest

from batchrun.simulator.limits import InFlight, MinuteBudget


def test_a_project_has_as_many_slots_as_its_limit():
    """Slots are counted for each project and are given back; a limit of 0 has none."""
    in_flight = InFlight()
    assert [in_flight.enter("a", 2) for _ in range(3)] == [True, True, False]
    assert in_flight.enter("b", 2)
    in_flight.leave("a")
    assert in_flight.enter("a", 2)
    assert not in_flight.enter("c", 0)
    assert in_flight.enter("a", None)


def test_a_minute_budget_refills_continuously():
    """A budget of 60 per minute allows one request each second."""
    budget = MinuteBudget()
    budget.spend("a", 60, 60, now_s=100)
    assert budget.wait_s("a", 1, 60, now_s=100) == 1
    assert budget.wait_s("a", 1, 60, now_s=100.5) == 0.5
    assert budget.wait_s("a", 1, 60, now_s=101) == 0
    assert budget.left("a", 60, now_s=500) == 60
    assert budget.wait_s("b", 60, 60, now_s=100) == 0


def test_an_overdrawn_budget_refills_before_the_next_request():
    """The tokens of an answer may overdraw it; the next request waits for them too."""
    budget = MinuteBudget()
    budget.spend("a", 90, 60, now_s=0)
    assert budget.wait_s("a", 1, 60, now_s=0) == 31


def test_an_amount_above_the_limit_waits_for_the_full_bucket():
    """A prompt larger than the limit is accepted in the end."""
    assert MinuteBudget().wait_s("a", 1000, 60, now_s=0) == 0


def test_requests_above_the_concurrency_limit_are_refused_immediately(connect):
    """Of eight requests at a limit of five, five are answered and three get a 429; each project has its own limit."""

    async def scenario():
        async with connect(concurrency_limit=5, latency_s=0.2, latency_sigma=0) as client:
            first = {"OpenAI-Project": "team/one"}
            other = {"OpenAI-Project": "team/two"}
            asked = [client.ask(headers=first) for _ in range(8)] + [client.ask(headers=other) for _ in range(5)]
            began_s = time.monotonic()
            replies = await asyncio.gather(*asked)
            took_s = time.monotonic() - began_s
            refused = [reply for reply in replies if reply.status == 429]
            assert len(refused) == 3
            assert {reply.message for reply in refused} == {"Concurrency limit reached for requests"}
            stats = client.server.stats
            assert stats.rejected == {"concurrency": 3}
            assert (stats.in_flight, stats.answered) == (0, 10)
            assert 10 * 0.2 * 0.95 <= stats.slot_s <= 10 * took_s

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_slot_is_free_before_the_client_has_the_answer(connect, stream):
    """A client that keeps exactly the limit in flight is never refused."""

    async def scenario():
        async with connect(concurrency_limit=4, latency_s=0.002) as client:

            async def worker():
                return {(await client.ask(stream=stream)).status for _ in range(40)}

            assert await asyncio.gather(*(worker() for _ in range(4))) == [{200}] * 4
            assert client.server.stats.peak_in_flight == 4

    asyncio.run(scenario())


def test_none_means_no_limit_and_zero_refuses_all_requests(connect):
    """Both values work, and the setting can change while the server runs."""

    async def scenario():
        async with connect(concurrency_limit=None, latency_s=0.05) as client:
            replies = await asyncio.gather(*(client.ask() for _ in range(100)))
            assert {reply.status for reply in replies} == {200}
            client.server.change(concurrency_limit=0)
            assert (await client.ask()).status == 429

    asyncio.run(scenario())


def test_requests_and_tokens_per_minute_are_named_in_their_429(connect):
    """The message names the limit in OpenAI's words, and `auto` sends the time to wait."""

    async def scenario():
        async with connect(requests_per_minute=2, retry_after={"429_rpm": "auto"}) as client:
            replies = [await client.ask() for _ in range(3)]
            assert [reply.status for reply in replies] == [200, 200, 429]
            assert "on requests per min (RPM): Limit 2, Used 2, Requested 1." in replies[2].message
            assert replies[2].headers["Retry-After"] == "30"
            client.server.change(requests_per_minute=None, tokens_per_minute=60)
            replies = [await client.ask("four" * 40, max_tokens=20) for _ in range(2)]
            assert [reply.status for reply in replies] == [200, 429]
            assert "on tokens per min (TPM): Limit 60, Used 6" in replies[1].message
            assert "Retry-After" not in replies[1].headers
            assert client.server.stats.rejected == {"requests_per_minute": 1, "tokens_per_minute": 1}

    asyncio.run(scenario())
