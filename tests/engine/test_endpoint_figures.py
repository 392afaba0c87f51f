"""What is shown of several endpoints while a run sends: each by itself, and a pause only when rows wait."""

import asyncio

from harness.endpoints import Endpoint, Trouble, refusal
from harness.runs import route, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.engine.endpoint_figures import endpoint_figures, pause_of, probe_in_s, slots_of
from batchrun.records import EndpointFigures, Fault, Reply

GONE = Fault("connection", "connection refused", 0.0, was_sent=False)


def gone(start_s: float, end_s: float) -> Trouble:
    return lambda now_s, body: GONE if start_s <= now_s < end_s else None


def refused(now_s: float, body: bytes) -> Reply:
    return refusal(401, "bad key")


Seen = tuple[tuple[EndpointFigures, ...], str | None, float | None]


def seen(at_s: float, rows: int, **troubles: Trouble) -> Seen:
    """Return what is shown at a time, of a run with an endpoint for each trouble; one without a name has no other."""
    pools: list[Pool] = []
    found: list[Seen] = []

    def looking(trouble: Trouble) -> Trouble:
        def look(now_s: float, body: bytes) -> object:
            if now_s >= at_s and not found:
                (pool,) = pools
                pool.look()
                found.append((endpoint_figures(pool), pause_of(pool), probe_in_s(pool)))
            return trouble(now_s, body)

        return look  # type: ignore[return-value]  # what the trouble returns

    routes = [
        route(Endpoint(lambda now_s: 20, trouble=looking(trouble)), name, limit=Limit(20, start=20))
        for name, trouble in troubles.items()
    ]
    send_all(routes, rows, pools=pools)
    return found[0]


def states(figures: tuple[EndpointFigures, ...]) -> dict[str, tuple[str, str]]:
    return {each.name: (each.state, each.reason) for each in figures}


def test_one_endpoint_of_two_that_is_away_pauses_nothing() -> None:
    figures, pause, probe_s = seen(30.0, 3_000, east=gone(5.0, 60.0), west=gone(0.0, 0.0))
    assert states(figures) == {"east": ("away", "connection: connection refused"), "west": ("open", "")}
    assert (pause, probe_s) == (None, None)
    east, west = figures
    assert (west.limit, east.limit) == (20, 20)
    assert west.in_flight >= 19


def test_the_run_is_paused_while_both_are_away() -> None:
    """By the reasons of both, and with the time of the next probe."""
    figures, pause, probe_s = seen(40.0, 3_000, east=gone(5.0, 80.0), west=gone(10.0, 80.0))
    assert {state for state, _ in states(figures).values()} == {"away"}
    assert pause == "east: connection: connection refused; west: connection: connection refused"
    assert probe_s is not None


def test_an_endpoint_that_refuses_everybody_is_closed() -> None:
    figures, pause, _ = seen(30.0, 3_000, east=refused, west=gone(0.0, 0.0))
    state, reason = states(figures)["east"]
    assert state == "closed"
    assert "bad key" in reason
    assert (states(figures)["west"], pause) == (("open", ""), None)


def test_when_all_others_are_closed_the_last_one_that_is_away_pauses_the_run() -> None:
    _, pause, _ = seen(60.0, 3_000, east=refused, west=gone(20.0, 90.0))
    assert pause is not None
    assert "west: connection: connection refused" in pause


def test_the_only_endpoint_is_shown_as_the_run() -> None:
    figures, pause, probe_s = seen(30.0, 3_000, **{"": gone(5.0, 60.0)})
    assert figures == ()
    assert pause == "connection: connection refused"
    assert probe_s is not None


def test_no_next_probe_is_shown_while_all_slots_are_taken_by_probes() -> None:
    """Each takes as long as the timeout of a request. Meanwhile "next probe in 0 s" was shown."""
    silent = Fault("timeout", "no answer in time", 60.0)
    pools: list[Pool] = []
    found: list[tuple[str | None, float | None]] = []

    def look() -> None:
        pools[0].look()
        found.append((pause_of(pools[0]), probe_in_s(pools[0])))

    def trouble(now_s: float, body: bytes) -> Fault | None:
        if not found:  # the first request
            found.append((None, None))
            asyncio.get_running_loop().call_later(100, look)
        return silent if 5 <= now_s < 150 else None

    send_all([route(Endpoint(lambda now_s: 20, trouble=trouble), limit=Limit(20, start=20))], 1_000, pools=pools)
    assert found[1:] == [("timeout: no answer in time", None)]


def test_a_closed_endpoint_has_no_slots_that_could_be_used() -> None:
    """What is still in flight there counts, so that never more is in flight than there are slots."""
    pools: list[Pool] = []
    found: list[tuple[int, int]] = []

    def look(now_s: float, body: bytes) -> None:
        if now_s > 30 and not found:
            found.append((slots_of(pools[0]), pools[0].in_flight))

    routes = [
        route(Endpoint(lambda now_s: 20, trouble=look), "east", limit=Limit(20, start=20)),
        route(Endpoint(lambda now_s: 20, trouble=refused), "west", limit=Limit(20, start=20)),
    ]
    send_all(routes, 3_000, pools=pools)
    ((slots, in_flight),) = found
    assert slots == 20 >= in_flight >= 19
