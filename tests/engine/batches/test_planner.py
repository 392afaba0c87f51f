"""What goes into which batch, and what waits until the caps allow more."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Budget
from batchrun.engine.batches.planner import Planner
from batchrun.engine.batches.provider import Halted
from batchrun.job.batch_providers import Most
from batchrun.records import Request, Stop, Usage

USED = 0.6
"""What a request has cost, of the 1 USD that it can cost at most."""


def dollars(usd: float) -> Amount:
    """Return a cap on money."""
    return Amount(usd, float("inf"))


class Provider:
    """Takes batches, and has answered the oldest one whenever room is waited for."""

    def __init__(self, cap: Amount, ends_after: int | None) -> None:
        worst, used = Amount(1.0, 10), Amount(USED, 6)
        self.budget = Budget(cap, NOTHING_USED, lambda request: worst, lambda *_: used)
        self.ends_after = ends_after
        self.open: list[BatchRow] = []
        self.sizes: list[int] = []

    def ready(self, row: BatchRow, tokens: float) -> None:
        self.open.append(row)
        self.sizes.append(row.requests)

    @property
    def is_ending(self) -> bool:
        return self.ends_after is not None and len(self.sizes) >= self.ends_after

    def under_way(self) -> int:
        return sum(row.requests for row in self.open)

    def answered(self) -> int:
        return sum(self.sizes) - self.under_way()

    async def room(self) -> None:
        row = self.open.pop(0)
        self.budget.collected(Amount(row.reserved_usd, row.reserved_tokens), [("m", Usage())] * row.requests, 0.0)


async def rows_of(rows: int, models: int) -> AsyncIterator[Sequence[Request]]:
    for row in range(rows):
        yield [Request(row, f"m{row % models}", 0, bytes(16), b"{}", None)]


def planner_of(store: Store, folder: Path, provider: Provider, most: int = 100) -> Planner:
    return Planner(
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


def planned(
    folder: Path, rows: int, most: int, cap: Amount, models: int = 1, ends_after: int | None = None
) -> tuple[Provider, Stop | None, Store]:
    """Return who has the batches of so many rows, and why planning ended."""
    provider = Provider(cap, ends_after)
    store = Store(folder)
    store.__enter__()
    for model in range(models):
        store.model_id(f"m{model}")
    store.start(lambda rows: None, lambda problem: None)

    async def plan() -> Stop | None:
        await store.batches.committed()
        try:
            await planner_of(store, folder, provider, most).plan(rows_of(rows, models))
        except Halted as halted:
            return halted.stop
        finally:
            await store.batches.committed()
        return None

    return provider, asyncio.run(plan()), store


def test_without_a_cap_in_the_way_batches_are_full(tmp_path: Path) -> None:
    provider, stop, store = planned(tmp_path, rows=250, most=100, cap=dollars(1000))
    assert (provider.sizes, stop) == ([100, 100, 50], None)
    store.__exit__(None, None, None)


def test_under_a_cap_no_batch_is_small_while_others_will_free_some(tmp_path: Path) -> None:
    """Each that ends frees 8 of its 20 requests: without waiting for more, nearly all later ones would be so small."""
    provider, stop, store = planned(tmp_path, rows=600, most=20, cap=dollars(400))
    assert stop is None
    assert sum(provider.sizes) == 600
    assert sum(size < 20 for size in provider.sizes) <= 3
    store.__exit__(None, None, None)


def test_what_fits_into_a_cap_at_once_is_not_held_back(tmp_path: Path) -> None:
    provider, stop, store = planned(tmp_path, rows=500, most=100, cap=dollars(350))
    assert stop is None
    assert provider.sizes[:4] == [100, 100, 100, 50]
    assert min(provider.sizes) >= 10
    store.__exit__(None, None, None)


@pytest.mark.parametrize("models", [1, 4])
@pytest.mark.parametrize("cap", [dollars(100), Amount(float("inf"), 1000)])
def test_at_the_end_of_a_cap_no_batch_is_small_and_what_still_fits_is_stated(
    tmp_path: Path, cap: Amount, models: int
) -> None:
    """All models together count: their batches are answered at the same time. No draft is left, and nothing is held."""
    provider, stop, store = planned(tmp_path, rows=500, most=100, cap=cap, models=models)
    assert stop is not None
    rounds = [sum(provider.sizes[first : first + models]) for first in range(0, len(provider.sizes), models)]
    assert rounds == [100, 40, 16]
    assert "leaves room for 6 requests and not for another one" in stop.message
    assert "none of fewer than 10 requests is sent" in stop.message
    assert [row.step for row in store.batches.batches()] == ["written"] * len(provider.sizes)
    assert provider.budget.account.room == cap
    files = sorted(path.name for path in (tmp_path / "batches").iterdir())
    assert files == [
        f"{1 + number:04}.{kind}" for number in range(len(provider.sizes)) for kind in ("json", "jsonl", "keys")
    ]
    store.__exit__(None, None, None)


def test_a_cap_that_holds_one_request_at_a_time_has_it_sent_and_says_so(tmp_path: Path) -> None:
    provider, stop, store = planned(tmp_path, rows=5, most=100, cap=dollars(1.5))
    assert provider.sizes == [1]
    assert stop is not None
    assert "leaves no room for another request" in stop.message
    store.__exit__(None, None, None)


def test_at_the_end_of_batches_nothing_more_is_planned_and_nothing_held(tmp_path: Path) -> None:
    """Ordinary requests take over, under the same cap."""
    provider, stop, store = planned(tmp_path, rows=500, most=100, cap=dollars(250), ends_after=2)
    assert (provider.sizes, stop) == ([100, 100], None)
    assert provider.budget.account.room == dollars(50)
    store.__exit__(None, None, None)


def test_a_batch_is_on_the_disk_with_its_name_before_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair of one of its lines needs its file, also after a power cut."""
    forced: list[int] = []
    seen: list[set[int]] = []
    fsync, ready = os.fsync, Provider.ready

    def note(handle: int) -> None:
        forced.append(os.fstat(handle).st_ino)
        fsync(handle)

    def look(provider: Provider, row: BatchRow, tokens: float) -> None:
        seen.append(set(forced))
        ready(provider, row, tokens)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Provider, "ready", look)
    _, _, store = planned(tmp_path, rows=3, most=3, cap=dollars(100))
    store.__exit__(None, None, None)
    file = tmp_path / "batches" / "0001.jsonl"
    assert {path.stat().st_ino for path in (file, file.parent, tmp_path)} <= seen[0]


def test_a_stop_leaves_no_batch_that_is_just_being_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is opened by a thread, which goes on."""
    mkdir = Path.mkdir

    def slow(path: Path, *args: Any, **settings: Any) -> None:
        time.sleep(0.2)
        mkdir(path, *args, **settings)

    monkeypatch.setattr(Path, "mkdir", slow)
    with Store(tmp_path) as store:
        store.model_id("m0")
        store.start(lambda rows: None, lambda problem: None)

        async def stopped() -> None:
            await store.batches.committed()
            planning = asyncio.ensure_future(
                planner_of(store, tmp_path, Provider(dollars(1), None)).plan(rows_of(1, models=1))
            )
            await asyncio.sleep(0.1)
            planning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await planning
            await store.batches.committed()

        asyncio.run(stopped())
        assert store.batches.batches() == []
        assert list((tmp_path / "batches").iterdir()) == []
        store.batches.close()
