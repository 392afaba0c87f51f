"""A worker makes requests of rows, and gives up slots that others may have meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
from harness.clock import VirtualClockLoop, run_virtually
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal
from harness.runs import requests

from batchrun.checkpoint.ready import opened, outcomes_in
from batchrun.engine.cluster.leases import Leased
from batchrun.engine.cluster.messages import Orders, Terms, Word, pack_rows
from batchrun.engine.cluster.till import NO_GRANT
from batchrun.engine.cluster.worker import LEASE_S
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.packing import Packing, Unpacking
from batchrun.prompts.rendering import Rendering
from batchrun.records import BadRow, Outcome, Row


def orders(number: int, rows: Sequence[Leased], slots: int, *, is_last: bool = False) -> Orders:
    """Return orders to send rows with as many slots more."""
    packed = pack_rows(rows) if rows else b""
    return Orders(number, packed, {"": slots}, NO_GRANT, is_last, is_last, {}, None, 0.02, terms=Terms({"m": 0}))


def shipped(word: Word) -> list[Outcome]:
    """Return the outcomes that a worker has made ready."""
    return list(outcomes_in(opened(word.outcomes.content))) if word.outcomes.ids else []


@pytest.mark.parametrize(("still_s", "slots"), [(LEASE_S / 2, 20), (LEASE_S * 4, 0)])
def test_a_worker_that_stood_still_in_an_exchange_sends_nothing_until_it_is_given_slots(still_s, slots) -> None:
    """Its process was stopped, or its machine slept: the wait of the exchange ended long after it should have."""
    endpoint = Endpoint(lambda now_s: 1_000, lognormal(0.3))

    async def main() -> tuple[Word, int]:
        worker = Cluster(endpoint).new_worker()
        await worker.begin()
        exchange = asyncio.ensure_future(worker.exchange(orders(1, requests(100), 20)))
        await asyncio.sleep(0.01)
        assert worker.in_flight == 20
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        loop.stand_still(still_s)
        word = await exchange
        before = endpoint.accepted
        await asyncio.sleep(1)
        await worker.end()
        return word, endpoint.accepted - before

    word, sent_after = run_virtually(main())
    assert word.routes[""].allowance.slots == slots
    assert (sent_after > 0) == (slots > 0)


def test_an_exchange_is_made_once_however_often_its_call_arrives() -> None:
    """While it is being made, when it was made, and when the next one was: its rows are sent once."""
    endpoint = Endpoint(lambda now_s: 1_000, lognormal(0.3))

    async def main() -> None:
        worker = Cluster(endpoint).new_worker()
        await worker.begin()
        await asyncio.sleep(0)  # the pool starts
        await worker.exchange(orders(1, [], 0))
        second = orders(2, requests(5), 20)
        calls = [asyncio.ensure_future(worker.exchange(second))]
        await asyncio.sleep(0.01)
        calls += [asyncio.ensure_future(worker.exchange(second))]
        calls[0].cancel()
        word = await calls[1]
        assert (word.number, len(shipped(word))) == (2, 1)
        assert await worker.exchange(second) is word
        third = await worker.exchange(orders(3, [], 0))
        assert await worker.exchange(second) is third  # nobody waits for it any more
        await worker.end()

    run_virtually(main())
    assert endpoint.accepted == 5


def test_rows_that_travel_packed_are_sent_and_broken_ones_fail_at_the_worker() -> None:
    """All in one exchange or later ones; those that the pool has not taken yet count as fresh."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))
    rows = [Row(number, {"prompt": "Say it."} if number % 5 else {}, f"in:{number}") for number in range(1_000)]
    packed = [each for each in Packing(job, Rendering(job)).entries(rows) if not isinstance(each, BadRow)]
    endpoint = Endpoint(lambda now_s: 1_000, lognormal(0.3))

    async def main() -> tuple[int, list[Outcome]]:
        worker = Cluster(endpoint).new_worker(Unpacking(job).entries)
        await worker.begin()
        await asyncio.sleep(0)  # the pool starts
        outcomes, number = [], 1
        word = await worker.exchange(orders(1, packed, 20, is_last=True))
        fresh = word.fresh
        while not word.is_done:
            outcomes += shipped(word)
            number += 1
            word = await worker.exchange(orders(number, [], 0, is_last=True))
        return fresh, outcomes + shipped(word)

    fresh, outcomes = run_virtually(main())
    assert fresh > 700
    assert sorted(outcome.row for outcome in outcomes) == list(range(1_000))
    broken = [outcome for outcome in outcomes if outcome.kind is not None]
    assert {outcome.row for outcome in broken} == set(range(0, 1_000, 5))
    assert {(outcome.kind, outcome.attempts) for outcome in broken} == {("bad_row", 0)}
    assert broken[0].error == "in:0: has no messages and no prompt, and the job has no template"
    assert endpoint.accepted == 800
