"""What goes into which batch, and what waits until the caps allow more."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Budget
from batchrun.engine.batches.planner import Planner, is_worth_sending
from batchrun.engine.batches.provider import Halted
from batchrun.job.batch_providers import Most
from batchrun.records import Request, Stop, Usage

USED = 0.6
"""What a request has cost, of the 1 USD that it can cost at most."""


class Provider:
    """Takes batches, and has answered the oldest one whenever room is waited for."""

    def __init__(self, cap_usd: float) -> None:
        worst, used = Amount(1.0, 0), Amount(USED, 0)
        self.budget = Budget(Amount(cap_usd, float("inf")), NOTHING_USED, lambda request: worst, lambda *_: used)
        self.open: list[BatchRow] = []
        self.sizes: list[int] = []

    def ready(self, row: BatchRow, tokens: float) -> None:
        self.open.append(row)
        self.sizes.append(row.requests)

    def under_way(self) -> int:
        return sum(row.requests for row in self.open)

    async def room(self) -> None:
        if not self.open:
            raise Halted(Stop(kind="cost_cap", message="no room", exit_code=5))
        row = self.open.pop(0)
        self.budget.collected(Amount(row.reserved_usd, 0), [("m", Usage())] * row.requests, 0.0)


def planned(folder: Path, rows: int, most: int, cap_usd: float) -> tuple[list[int], bool, Store]:
    """Return the sizes of the batches of so many rows, and whether the cap has ended it."""
    provider = Provider(cap_usd)
    store = Store(folder)
    store.__enter__()
    store.model_id("m")
    store.start(lambda outcomes: None, lambda problem: None)
    store.batches.open()

    async def feed() -> AsyncIterator[Sequence[Request]]:
        yield [Request(row, "m", 0, bytes(16), b'{"model":"m"}', None) for row in range(rows)]

    async def plan() -> bool:
        await store.batches.committed()
        planner = Planner(
            log=store.batches,
            directory=folder,
            most=Most(most, 1 << 20),
            kinds=("chat",),
            its_model=lambda model: model,
            budget=provider.budget,
            endpoint="",
            put=lambda outcome: None,
            traffic=provider,
            closed=(),
        )
        try:
            await planner.plan(feed())
        except Halted:
            return True
        finally:
            await store.batches.committed()
        return False

    return provider.sizes, asyncio.run(plan()), store


def test_without_a_cap_in_the_way_batches_are_full(tmp_path: Path) -> None:
    sizes, is_halted, store = planned(tmp_path, rows=250, most=100, cap_usd=1000)
    assert (sizes, is_halted) == ([100, 100, 50], False)
    store.__exit__(None, None, None)


def test_under_a_cap_no_batch_is_small_while_others_will_free_some(tmp_path: Path) -> None:
    """Each that ends frees 8 of its 20 requests: without waiting for more, nearly all later ones would be so small."""
    sizes, is_halted, store = planned(tmp_path, rows=600, most=20, cap_usd=400)
    assert not is_halted
    assert sum(sizes) == 600
    assert sum(size < 20 for size in sizes) <= 3
    store.__exit__(None, None, None)


def test_what_fits_into_a_cap_at_once_is_not_held_back(tmp_path: Path) -> None:
    sizes, is_halted, store = planned(tmp_path, rows=500, most=100, cap_usd=350)
    assert not is_halted
    assert sizes[:4] == [100, 100, 100, 50]
    assert min(sizes) >= 10
    store.__exit__(None, None, None)


def test_at_the_end_of_a_cap_what_fits_is_sent_and_no_draft_is_left(tmp_path: Path) -> None:
    sizes, is_halted, store = planned(tmp_path, rows=500, most=100, cap_usd=100)
    assert is_halted
    assert sizes[0] == 100
    assert sum(sizes) * USED <= 100
    assert (100 - sum(sizes) * USED) < 1.0
    assert [row.step for row in store.batches.batches()] == ["written"] * len(sizes)
    store.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("requests", "under_way", "is_worth"), [(0, 0, False), (1, 0, True), (9, 100, False), (10, 100, True)]
)
def test_a_batch_is_worth_sending_next_to_those_under_way(requests: int, under_way: int, is_worth: bool) -> None:
    assert is_worth_sending(requests, under_way) is is_worth
