"""The regular tasks during a run; most of them are tested end to end."""

import asyncio
import dataclasses
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from batchrun.engine import ticker
from batchrun.engine.ticker import Watch
from batchrun.errors import RunDirectoryError
from batchrun.records import ModelTotals, RowCount, Stop, WorkerFigures

STOP = Stop(kind="", message="", exit_code=0)


class _Quiet:
    """A stand-in for everything that the ticker uses; every call returns 0."""

    def __getattr__(self, name: str) -> Any:
        return _Quiet()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return 0.0


def watch_that(save: Any) -> Watch:
    quiet = cast("Any", _Quiet())
    missing = dataclasses.MISSING
    needed = [each.name for each in dataclasses.fields(Watch) if each.default is each.default_factory is missing]
    return Watch(**dict.fromkeys(needed, quiet) | {"save": save})


@pytest.mark.parametrize("problem", [None, RunDirectoryError("full")])
def test_a_cancelled_watch_ends_after_the_write_that_it_has_begun(problem: Exception | None) -> None:
    """Otherwise a late run.json would replace the one that says how the run ended."""
    begun, proceed = threading.Event(), threading.Event()
    written: list[str] = []

    def save() -> None:
        begun.set()
        assert proceed.wait(10)
        written.append("running")
        if problem is not None:
            raise problem

    async def main() -> None:
        saving = asyncio.create_task(watch_that(save)._save())
        await asyncio.to_thread(begun.wait, 10)
        saving.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not saving.done()
        proceed.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert written == ["running"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("probe_in_s", "is_late", "per_s"),
    [(None, False, 10.0), (3.0, False, None), (None, True, None)],
    ids=["a rate", "an outage", "stragglers"],
)
def test_a_run_that_waits_for_a_rate_has_a_rate(
    monkeypatch: pytest.MonkeyPatch, probe_in_s: float | None, is_late: bool, per_s: float | None
) -> None:
    """Rows are settled all the time while a rate of the endpoint is waited for; none in an outage or for stragglers."""
    monkeypatch.setattr("batchrun.engine.ticker.expected_rows", lambda *_: None)
    watch = watch_that(None)
    watch.job = cast("Any", SimpleNamespace(limits=SimpleNamespace(max_cost_usd=None, max_concurrency=100)))
    limit = SimpleNamespace(current=8)
    shown: dict[str, Any] = {
        "in_flight": 1,
        "waiting": 1,
        "throttled": 5,
        "routes": [SimpleNamespace(limit=limit, lanes=(), name="")],
        "stopping": None,
        "closed": {},
        "is_away": probe_in_s is not None,
        "away_s": None if probe_in_s is None else 90.0,
        "is_late": is_late,
    }
    watch.pool = cast("Any", SimpleNamespace(trouble="a rate was exceeded", probe_in_s=probe_in_s, **shown))
    for second in range(60):
        watch.store = cast("Any", SimpleNamespace(totals={"m": ModelTotals(requests=10 * second)}))
        figures = watch._figures(float(second))
    assert figures.pause == "a rate was exceeded"
    assert figures.paused_since_ms is not None
    if probe_in_s is not None:
        cast("Any", watch.pool).away_s = 90.3
    assert figures.paused_since_ms == watch._figures(61.0).paused_since_ms  # it is compared, to know one pause again
    since_s = time.time() - figures.paused_since_ms / 1000
    assert since_s == pytest.approx(0.0 if probe_in_s is None else 90.0, abs=20)
    assert figures.rate_per_s == (None if per_s is None else pytest.approx(per_s))


class _Pool:
    """A pool in which one request hangs."""

    stopping: Stop | None = None

    def stop(self, stop: Stop) -> None:
        self.stopping = self.stopping or stop


def test_the_workers_of_an_earlier_execution_have_ended_and_are_kept() -> None:
    """This one may have none. What they did, and where, is of the run; its driver may have died with them."""
    watch, noted = watch_that(None), list[Any]()
    worker = WorkerFigures(1, "n", 3, 20, 31, "open", answered=5)

    def set_fact(fact: Any, value: Any) -> None:
        noted.append((fact.name, value))

    watch.store = cast("Any", SimpleNamespace(fact=lambda fact: [worker._asdict()], set_fact=set_fact))
    watch._note_earlier_workers()
    watch._note_workers(has_ended=True)
    assert noted == [("workers_now", [WorkerFigures(1, "n", 0, 0, 0, "ended", answered=5)._asdict()])]


def test_a_deadline_is_reported_once_with_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests in flight may take as long as their timeout."""
    printed: list[str] = []
    watch = watch_that(None)
    watch.pool, watch.progress = cast("Any", _Pool()), cast("Any", SimpleNamespace(say=printed.append))
    monkeypatch.setattr(ticker, "flight_text", lambda job, pool: "waiting for 2 answers, for at most 9 min")
    watch._stop("max_duration 4s is over")
    watch._stop("max_duration 4s is over")
    assert printed == ["max_duration 4s is over: stopping: waiting for 2 answers, for at most 9 min"]
    assert (watch.pool.stopping or STOP).kind == "deadline"


def test_until_when_a_run_waits_that_stops_is_fixed_when_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is shown without the cure: that holds once the run has ended."""
    watch = watch_that(None)
    watch.pool = cast("Any", _Pool())
    assert (watch._stopping(), watch.drained_by_ms) == (None, None)
    watch.pool.stop(dataclasses.replace(STOP, message="SIGTERM; run the same command again to resume"))
    for seconds in (60.0, 5.0):
        monkeypatch.setattr(ticker, "flight_s", lambda job, pool, seconds=seconds: seconds)
        assert watch._stopping() == "SIGTERM"
        assert watch.drained_by_ms == pytest.approx(1000 * (time.time() + 60), abs=20_000)


def test_rows_of_a_model_that_is_closed_take_no_time() -> None:
    """Those of the others do; broken rows are settled for every model."""
    watch = watch_that(None)
    settings = {"models": ["a", "b"], "model": SimpleNamespace(num_samples=2)}
    watch.job = cast("Any", SimpleNamespace(**settings))
    watch.source = cast("Any", SimpleNamespace(input_rows=RowCount(100, is_exact=True)))
    watch.store = cast("Any", SimpleNamespace(totals={"b": ModelTotals(requests=3), "a": ModelTotals(requests=50)}))
    watch.pool = cast("Any", SimpleNamespace(closed={}))
    assert watch._unwanted() == 0
    watch.pool = cast("Any", SimpleNamespace(closed={"b": STOP}))
    assert watch._unwanted() == 197
