"""Workers behind a slow network share one hidden limit, and what a dead one had is sent again."""

import asyncio
import bisect
import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest
from harness.clusters import Cluster
from harness.endpoints import Endpoint, lognormal, refusal

from batchrun.endpoint.pool.limits import Limit
from batchrun.engine.cluster.driver import Driver
from batchrun.records import Closed, Event, Fault, Paused, Request, Resumed, Stop

HALF_S = 0.5
"""How long workers take to start: it is left out of what they could have used."""


def steps(*levels: tuple[float, int]) -> Callable[[float], int]:
    """Return a limit that changes at times."""
    times = [at_s for at_s, _ in levels]
    return lambda now_s: levels[max(0, bisect.bisect_right(times, now_s) - 1)][1]


def used(endpoint: Endpoint) -> float:
    """Return the share of the slots' time that was used."""
    ticks = range(int(HALF_S * 100), int(endpoint.last_answer_s * 100))
    return endpoint.busy_s / sum(endpoint.limit(tick / 100) / 100 for tick in ticks)


def rows_of(cluster: Cluster) -> list[int]:
    """Return the rows that have an outcome."""
    return sorted(outcome.row for outcome in cluster.outcomes)


@pytest.mark.parametrize(
    ("slots", "rows", "least", "most_rejected"),
    [(100, 10_000, 0.96, 0.005), (8, 1_500, 0.96, 0.01), (3, 600, 0.96, 0.01), (1, 100, 0.85, 0.1)],
)
def test_workers_together_use_the_slots_of_a_hidden_limit(slots, rows, least, most_rejected) -> None:
    """Four workers, also where there are fewer slots than workers."""
    endpoint = Endpoint(lambda now_s: slots, lognormal(0.3))
    cluster = Cluster(endpoint)
    assert cluster.run(rows) is None
    assert rows_of(cluster) == list(range(rows))
    assert used(endpoint) >= least
    assert endpoint.rejected <= most_rejected * endpoint.received


def test_workers_follow_a_limit_that_moves() -> None:
    """Down to a quarter, and back."""
    endpoint = Endpoint(steps((0, 100), (20, 25), (60, 100)), lognormal(0.3))
    cluster = Cluster(endpoint)
    cluster.run(8_000)
    assert used(endpoint) >= 0.92
    assert endpoint.rejected <= 0.015 * endpoint.received


def test_the_ceiling_is_never_passed() -> None:
    """The server would take any number."""
    endpoint = Endpoint(lambda now_s: 10_000, lognormal(0.3))
    cluster = Cluster(endpoint)
    cluster.run(3_000, limit=lambda strides: Limit(100, strides=strides))
    assert endpoint.peak_sent == 100


def test_answers_that_get_lost_are_asked_for_again_and_count_once() -> None:
    """A fifth of all calls."""
    endpoint = Endpoint(lambda now_s: 50, lognormal(0.3))
    cluster = Cluster(endpoint, lost=0.2)
    cluster.run(2_000)
    assert rows_of(cluster) == list(range(2_000))
    assert endpoint.accepted == 2_000
    assert sum(each.answered for each in cluster.driver.workers) == 2_000


def test_calls_that_fail_while_the_worker_still_makes_the_exchange_lose_no_outcome() -> None:
    """Such a call is repeated. It was answered with the word before, and the one being made went to nobody."""
    endpoint = Endpoint(lambda now_s: 50, lognormal(0.3))
    cluster = Cluster(endpoint, broken=0.1)
    cluster.run(2_000)
    assert rows_of(cluster) == list(range(2_000))
    assert endpoint.accepted == 2_000
    assert cluster.driver.leases.dropped == 0


@pytest.mark.parametrize("failures", [{"lost": 0.05}, {"broken": 0.05}])
def test_a_call_that_fails_does_not_keep_outcomes_at_the_worker_for_long(failures: dict[str, float]) -> None:
    """It is repeated at once: what a worker has that the driver has not is bought again if it dies."""
    cluster = Cluster(Endpoint(lambda now_s: 50, lognormal(0.3)), **failures)  # type: ignore[arg-type]
    cluster.run(2_000)
    assert max(cluster.delays_s) < 0.13


def test_a_worker_has_no_outcome_for_longer_than_a_tenth_of_a_second() -> None:
    """It would take that with it when it dies: it collects for 70 ms, and a message takes at most 15 ms."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)), lag_s=0.010)
    cluster.run(2_000)
    assert 0.05 < max(cluster.delays_s) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_what_a_dead_worker_had_is_sent_again_and_nothing_else(seed: int) -> None:
    """Ten deaths at random moments, noticed late. Bought again is at most what was in flight or not yet shipped."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3))
    cluster = Cluster(endpoint, seed=seed)
    had = 0

    async def deaths(cluster: Cluster, driver: Driver) -> None:
        nonlocal had
        chance = random.Random(seed)
        for _ in range(10):
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            place = chance.randrange(4)
            worker = cluster.workers[place]
            if worker.worker is None or worker.is_dead or worker.is_cut_off:
                continue
            had += worker.in_flight + worker.unshipped
            await worker.die(noticed_s=chance.uniform(0.1, 3.0))

    cluster.run(4_000, meanwhile=deaths)
    assert cluster.driver.lost > 3
    assert rows_of(cluster) == list(range(4_000))
    assert endpoint.accepted - 4_000 <= had
    assert had <= cluster.driver.lost * 40
    assert sum(each.answered for each in cluster.driver.workers) == 4_000


def test_a_worker_that_is_cut_off_for_a_while_loses_nothing() -> None:
    """Eight seconds: the others have its slots meanwhile, and its rows stay its own."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3))
    cluster = Cluster(endpoint)

    states = []

    async def cut(cluster: Cluster, driver: Driver) -> None:
        for is_cut_off in (True, False):
            await asyncio.sleep(5)
            states.append([each.state for each in driver.workers])
            cluster.workers[0].is_cut_off = is_cut_off
            await asyncio.sleep(3)
            states.append([each.state for each in driver.workers])

    cluster.run(3_000, meanwhile=cut)
    awake = ["open"] * 4
    assert states == [awake, awake, ["silent", *awake[1:]], awake]
    assert rows_of(cluster) == list(range(3_000))
    assert endpoint.accepted == 3_000
    assert used(endpoint) >= 0.85
    assert endpoint.peak <= 40


def test_an_interrupted_run_drains_all_workers() -> None:
    """What is in flight is answered, nothing is bought that has no outcome."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3))
    cluster = Cluster(endpoint)
    interrupted = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)

    async def interrupt(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(4)
        driver.stop(interrupted)

    assert cluster.run(10_000, meanwhile=interrupt) == interrupted
    assert len(cluster.outcomes) == endpoint.accepted
    assert cluster.noted == 0  # or the next execution would say that they were sent and not recorded
    assert not Counter(rows_of(cluster)) - Counter(range(10_000))
    assert cluster.ended_s < 6


@pytest.mark.parametrize(("at_s", "most_s"), [(0.7, 600.0), (6.0, 31.0), (6.9, 31.0)])
def test_a_stop_takes_no_longer_than_was_announced(at_s: float, most_s: float) -> None:
    """Some answers never come: they have their whole timeout only where too little is known of the others."""
    hangs = Fault("timeout", "no answer in time", 600.0)
    numbers = itertools.count()
    trouble = lambda now_s, body: hangs if next(numbers) % 20 == 19 else None  # noqa: E731
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3), trouble=trouble))
    times: list[float] = []

    async def interrupt(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(at_s)
        times.extend([driver.drain_s(600.0, is_stream=False), asyncio.get_running_loop().time()])
        driver.stop(Stop(kind="interrupted", message="Ctrl-C", exit_code=130))

    cluster.run(10_000, meanwhile=interrupt)
    announced_s, stopped_s = times
    assert announced_s <= most_s
    assert cluster.ended_s - stopped_s < announced_s + 0.5


def test_the_wait_for_a_silent_worker_may_be_as_long_as_a_request() -> None:
    """It does not hear of the stop."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)))
    announced_s = []

    async def cut(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(5)
        announced_s.append(driver.drain_s(600.0, is_stream=False))
        cluster.workers[0].is_cut_off = True
        await asyncio.sleep(6)
        announced_s.append(driver.drain_s(600.0, is_stream=False))
        cluster.workers[0].is_cut_off = False

    cluster.run(2_000, meanwhile=cut)
    assert [round(each) for each in announced_s] == [30, 600]


def test_what_a_worker_had_in_flight_that_dies_in_a_drain_counts_as_not_answered() -> None:
    """It was reported as kept, its rows as given to others, and a worker as started in its place."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(3.0, sigma=0.05))
    cluster = Cluster(endpoint)
    died_with = 0

    async def interrupt(cluster: Cluster, driver: Driver) -> None:
        nonlocal died_with
        await asyncio.sleep(8)
        driver.stop(Stop(kind="interrupted", message="Ctrl-C", exit_code=130))
        await asyncio.sleep(1)
        died_with = cluster.workers[1].in_flight
        await cluster.workers[1].die(noticed_s=1)

    cluster.run(1_000, meanwhile=interrupt)
    assert died_with > 0
    in_flight, unanswered = cluster.driver.drained
    assert unanswered == died_with
    assert in_flight >= 4 * died_with - 2
    rows = cluster.driver.leases.put_back
    assert cluster.log == [f"worker 2 on here has died; its {rows} rows stay open"]


@pytest.mark.parametrize(("slots", "rows"), [(40, 400), (3, 60)])
def test_what_may_be_in_flight_is_known_also_before_workers_report_it(slots: int, rows: int) -> None:
    """A run that is interrupted says what it waits for; answers that take long are not reported for up to a second."""
    endpoint = Endpoint(lambda now_s: slots, lognormal(3.0))
    cluster = Cluster(endpoint)
    seen = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        while True:
            await asyncio.sleep(0.02)
            truly = sum(each.in_flight for each in cluster.workers.values())
            assert truly <= driver.most_in_flight <= driver.leases.leased
            assert not truly or driver.drain_s(600.0, is_stream=False) > 0
            seen.append((truly, driver.in_flight, driver.most_in_flight))

    cluster.run(rows, meanwhile=look)
    assert any(truly > reported for truly, reported, _ in seen)
    busy = [(truly, most) for truly, _, most in seen if truly]
    assert sum(most for _, most in busy) < 1.5 * sum(truly for truly, _ in busy)


def test_an_outage_costs_time_and_no_row() -> None:
    """Twenty seconds in which nothing connects."""
    down = Fault("connection", "no connection", 0.001, was_sent=False)
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3), trouble=lambda now_s, body: down if 5 <= now_s < 25 else None)
    cluster = Cluster(endpoint)
    assert cluster.run(3_000) is None
    assert rows_of(cluster) == list(range(3_000))
    assert not any(outcome.kind for outcome in cluster.outcomes)
    assert cluster.ended_s < 60
    assert sum(isinstance(event, Paused) for event in cluster.events) == 1
    assert sum(isinstance(event, Resumed) for event in cluster.events) == 1


def test_an_outage_is_shown_where_there_are_fewer_slots_than_workers() -> None:
    """Those without a slot send nothing, and see no trouble."""
    down = Fault("connection", "no connection", 0.001, was_sent=False)
    endpoint = Endpoint(lambda now_s: 2, lognormal(0.3), trouble=lambda now_s, body: down if 5 <= now_s < 25 else None)
    seen = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        for at_s in (4, 15, 40):
            await asyncio.sleep(at_s - asyncio.get_running_loop().time())
            seen.append((driver.trouble, driver.is_away))

    Cluster(endpoint).run(300, meanwhile=look)
    assert seen == [(None, False), ("connection: no connection", True), (None, False)]


def test_the_end_of_an_outage_is_reported_where_some_workers_have_no_slot_to_see_it() -> None:
    """The server comes back with fewer slots than there are workers. It was reported when the others left a slot."""
    down = Fault("connection", "no connection", 0.001, was_sent=False)
    limit = steps((0, 40), (25, 2))
    endpoint = Endpoint(limit, lognormal(0.3), trouble=lambda now_s, body: down if 5 <= now_s < 25 else None)
    resumed_s = []

    def on_event(event: Event, driver: Driver) -> None:
        if isinstance(event, Resumed):
            resumed_s.append(asyncio.get_running_loop().time())

    cluster = Cluster(endpoint, on_event=on_event)
    cluster.run(900)
    assert cluster.ended_s > 60
    assert [25 < each < 32 for each in resumed_s] == [True]
    assert sum(isinstance(event, Paused) for event in cluster.events) == 1


def test_a_pause_is_reported_while_its_probe_is_under_way() -> None:
    """As in one process. A probe of a server that says nothing takes as long as the timeout of a request."""
    silent = Fault("timeout", "no answer in time", 60.0)
    endpoint = Endpoint(lambda now_s: 60, trouble=lambda now_s, body: silent if 5 <= now_s < 110 else None)
    seen_s = []

    def on_event(event: Event, driver: Driver) -> None:
        seen_s.append(asyncio.get_running_loop().time())

    async def look(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(100)
        assert driver.trouble == "timeout: no answer in time"

    cluster = Cluster(endpoint, on_event=on_event)
    assert cluster.run(2_000, meanwhile=look) is None
    assert [type(event) for event in cluster.events] == [Paused, Resumed]
    assert 65 < seen_s[0] < 70


def test_no_more_rows_are_noted_as_possibly_lost_than_workers_have() -> None:
    """Nor fewer than are in flight: a resume reports the note as what may be bought again."""
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3))
    cluster = Cluster(endpoint)
    cluster.run(2_000)
    assert endpoint.peak <= cluster.most_noted <= 4 * endpoint.peak
    assert cluster.noted == 0


def test_a_model_that_is_refused_is_closed_for_all_workers_and_the_others_continue() -> None:
    """Each worker would find it out for itself, after some refusals; its rows stay open."""
    absent = refusal(404, "The model `n` does not exist", code="model_not_found")
    endpoint = Endpoint(
        lambda now_s: 40, lognormal(0.3), trouble=lambda now_s, body: absent if body.startswith(b"n") else None
    )
    cluster = Cluster(endpoint)
    rows = [Request(row, "mn"[row % 2], 0, b"", b"%s-%d" % (b"mn"[row % 2 :][:1], row), None) for row in range(2_000)]
    stop = cluster.run(rows)
    assert stop is not None
    assert stop.exit_code == 4
    assert {outcome.model for outcome in cluster.outcomes if outcome.kind is None} == {"m"}
    assert len([outcome for outcome in cluster.outcomes if outcome.model == "m"]) == 1_000
    assert [event.model for event in cluster.events if isinstance(event, Closed)] == ["n"]
    assert len([outcome for outcome in cluster.outcomes if outcome.model == "n"]) < 10


def test_a_run_whose_only_model_is_refused_stops() -> None:
    """With the reason that one process gives."""
    absent = refusal(401, "Incorrect API key provided")
    endpoint = Endpoint(lambda now_s: 40, lognormal(0.3), trouble=lambda now_s, body: absent)
    cluster = Cluster(endpoint)
    stop = cluster.run(2_000)
    assert stop is not None
    assert stop.exit_code == 4
    assert cluster.outcomes == []
    assert cluster.ended_s < 10


def test_an_endpoint_that_never_answers_stops_the_run_after_a_minute() -> None:
    """It is one run's decision, not four."""
    silent = Fault("connection", "no connection", 0.001, was_sent=False)
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3), trouble=lambda now_s, body: silent))
    stop = cluster.run(2_000)
    assert stop is not None
    assert "nothing has answered yet" in stop.message
    assert 60 < cluster.ended_s < 80


def test_the_time_that_workers_take_to_start_is_none_in_which_they_sent() -> None:
    """A rate that counts it would foresee an end that is far too late."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)), starts_s=10)
    seen = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        for _ in range(3):
            await asyncio.sleep(4)
            seen.append(driver.is_away)

    cluster.run(1_000, meanwhile=look)
    assert seen == [True, True, False]


def test_the_figures_of_workers_add_up_to_those_of_the_run() -> None:
    """While they start, at work, and with one in the place of a dead one."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)), starts_s=2)
    seen = []

    async def look(cluster: Cluster, driver: Driver) -> None:
        await asyncio.sleep(1)
        seen.append([each.state for each in driver.workers])
        await asyncio.sleep(4)
        await cluster.workers[2].die(noticed_s=1)
        await asyncio.sleep(1)
        seen.append([each.state for each in driver.workers])
        await asyncio.sleep(4)
        seen.append([each.state for each in driver.workers])
        assert sum(each.in_flight for each in driver.workers) == driver.in_flight
        assert sum(each.rows for each in driver.workers) == driver.leases.leased
        assert sum(each.limit for each in driver.workers) <= cluster.keeper.limit.current
        assert [each.worker for each in driver.workers] == [1, 2, 3, 4]

    cluster.run(4_000, meanwhile=look)
    assert seen == [["starting"] * 4, ["open", "open", "starting", "open"], ["open"] * 4]


def test_rows_with_images_are_not_read_far_ahead() -> None:
    """The memory of the driver would hold as many as the limit is high: here some hundred, of a megabyte each."""
    cluster = Cluster(Endpoint(lambda now_s: 40, lognormal(0.3)))
    image = bytes(1_000_000)
    most = 0

    async def look(cluster: Cluster, driver: Driver) -> None:
        nonlocal most
        while True:
            await asyncio.sleep(0.05)
            most = max(most, driver.leases.waiting_bytes)

    rows = [Request(row, "m", 0, b"", image, None) for row in range(500)]
    cluster.run(rows, meanwhile=look)
    assert rows_of(cluster) == list(range(500))
    assert 30 << 20 < most < (32 << 20) + 100 * len(image)
    assert cluster.driver.leases.waiting_bytes == 0
