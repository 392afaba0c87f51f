"""A worker gives up slots that others may have meanwhile."""

import asyncio

import pytest
from harness.clock import VirtualClockLoop, run_virtually
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal
from harness.runs import requests

from batchrun.endpoint.pool.budget import Amount
from batchrun.engine.cluster.messages import Orders, Word, pack_requests
from batchrun.engine.cluster.worker import LEASE_S


def orders(number: int, rows: int, slots: int) -> Orders:
    """Return orders to send rows with as many slots more."""
    packed = pack_requests(requests(rows)) if rows else b""
    return Orders(number, packed, {"": slots}, Amount(), False, False, {}, None, 0.02)


@pytest.mark.parametrize(("still_s", "slots"), [(LEASE_S / 2, 20), (LEASE_S * 4, 0)])
def test_a_worker_that_stood_still_in_an_exchange_sends_nothing_until_it_is_given_slots(still_s, slots) -> None:
    """Its process was stopped, or its machine slept: the wait of the exchange ended long after it should have."""
    endpoint = Endpoint(lambda now_s: 1_000, lognormal(0.3))

    async def main() -> tuple[Word, int]:
        worker = Cluster(endpoint).new_worker()
        await worker.begin()
        exchange = asyncio.ensure_future(worker.exchange(orders(1, 100, 20)))
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
