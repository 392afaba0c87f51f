"""Outages, through the real pool on the virtual clock: they cost time, and no row."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from harness.endpoints import Endpoint, refusal
from harness.runs import CANARY, rates_by_bytes, requests, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Paused, Reply, Request, Resumed, Spent

Result = Reply | Fault
SLOTS = 20


def slots(now_s: float) -> int:
    return SLOTS


OUTAGES: dict[str, Callable[[], Result] | None] = {
    "refused": lambda: Fault("connection", "no connection: refused", 0.001, was_sent=False),
    "reset": lambda: Fault("connection", "cut", 0.2),
    "dns": lambda: Fault("connection", "the host's name cannot be looked up", 0.01, was_sent=False),
    "503": lambda: refusal(503, "overloaded"),
    "500": lambda: refusal(500, "error"),
    "html": lambda: Reply(502, {}, b"<html>Bad Gateway</html>", 0.01),
    "silence": lambda: Fault("timeout", "no answer in time", 5.0),
    "limit 0": None,
}
PLACES = {
    "start": (800, 0.0),
    "middle": (1_600, 0.5),
    "end": (800, 0.95),
    "three rows": (3, 0.0),
    "one row": (1, 0.0),
}
"""Number of rows, and the share of the undisturbed time after which the outage begins."""


class Outage:
    """An endpoint that is away between two times, and counts the requests."""

    def __init__(self, kind: str, begin_s: float, end_s: float) -> None:
        self.sent: Counter[bytes] = Counter()
        self.during = 0
        self._answer = OUTAGES[kind]
        self._begin_s, self._end_s = begin_s, end_s
        self.endpoint = Endpoint(self._limit if kind == "limit 0" else slots, trouble=self._trouble)

    def _is_on(self, now_s: float) -> bool:
        return self._begin_s <= now_s < self._end_s

    def _limit(self, now_s: float) -> int:
        return 0 if self._is_on(now_s) else SLOTS

    def _trouble(self, now_s: float, body: bytes) -> Result | None:
        self.sent[body] += 1
        self.during += self._is_on(now_s)
        return self._answer() if self._answer and self._is_on(now_s) else None


@pytest.fixture(scope="module")
def undisturbed() -> dict[int, float]:
    """The time that each number of rows takes without an outage."""
    return {rows: send_all(Endpoint(slots), rows, limit=Limit(1_000)).ended_s for rows, _ in PLACES.values()}


@pytest.mark.parametrize("length_s", [7.0, 34.0, 60.0])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_costs_time_but_no_row_and_no_attempt(
    kind: str, place: str, length_s: float, undisturbed: dict[int, float]
) -> None:
    """Even with one attempt a row all are answered, at most a tenth later than outage plus work; reported once."""
    rows, share = PLACES[place]
    outage = Outage(kind, share * undisturbed[rows], share * undisturbed[rows] + length_s)
    max_attempts = 1 if length_s >= 34 else 5  # a silence that ends before a probe has failed may be the rows' own
    policy = Policy(max_attempts=max_attempts, unheard_s=90.0)
    run = send_all(outage.endpoint, rows, limit=Limit(1_000), policy=policy)
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == rows
    allowed_s = 1.1 * (undisturbed[rows] + length_s)
    assert run.ended_s <= max(allowed_s, undisturbed[rows] + length_s + 6)  # a probe that hangs takes 5 s
    if length_s >= 34:
        assert run.ended_s <= allowed_s
        assert (run.count(Paused), run.count(Resumed)) == (1, 1)
        assert outage.during < SLOTS * 12 + 120
    assert outage.sent[CANARY] <= 60
    assert run.count(Spent) <= 1


def of_two_models(rows: int) -> list[Request]:
    """Return rows of two models in turns; the bodies of the second begin with its name."""
    asked = zip(requests(rows), requests(rows, "n"), strict=True)
    return [each for m, n in asked for each in (m, n._replace(body=b"n-" + n.body))]


@pytest.mark.parametrize("length_s", [34.0, 600.0])
@pytest.mark.parametrize("kind", [kind for kind, fault in OUTAGES.items() if fault is not None])
def test_an_outage_of_one_model_costs_it_no_row_and_the_other_no_time(kind: str, length_s: float) -> None:
    """With one attempt a row; the other model uses its slots. One pause is reported, for the model that is away."""
    fault = OUTAGES[kind]
    assert fault is not None
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result | None:
        its = body.startswith(b"n-") or body == b"canary-n"
        if not (its and 20 <= now_s < 20 + length_s):
            return None
        sent[body] += 1
        return fault()

    endpoint = Endpoint(slots, trouble=trouble)
    rows = of_two_models(1_200)
    undisturbed_s = send_all(Endpoint(slots), rows, limit=Limit(1_000)).ended_s
    run = send_all(endpoint, rows, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == len(rows)
    if length_s > undisturbed_s:  # then the other model is done by then
        assert {outcome.model for outcome in run.outcomes[1_800:]} == {"n"}
    assert [type(event) for event in run.events if isinstance(event, Paused | Resumed)] == [Paused, Resumed]
    assert {event.model for event in run.events if isinstance(event, Paused | Resumed)} == {"n"}
    assert sent.total() < SLOTS * 20 + 120
    assert run.ended_s <= 1.1 * max(undisturbed_s + length_s / 2, 20 + length_s + undisturbed_s / 2)


@pytest.mark.parametrize("rows", [1, 2_000])
def test_an_outage_of_a_night_costs_two_probes_a_minute(rows: int) -> None:
    """Eight hours away: no row is lost, and its end is seen within half a minute."""
    outage = Outage("500", 0.0, 8 * 3_600.0)
    run = send_all(outage.endpoint, rows, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == rows
    assert run.ended_s < 8 * 3_600 + 30 + 60
    assert outage.during < 8 * 120 + 120


def test_a_canary_is_sent_only_where_rows_cannot_show_whether_the_endpoint_works() -> None:
    """In the middle of a run rows probe; one probe in eight may be a canary, and none of these costs anything."""
    outage = Outage("500", 10.0, 70.0)
    run = send_all(outage.endpoint, 1_600, limit=Limit(1_000))
    assert outage.sent[CANARY] <= 60 / 8
    assert run.count(Spent) == 0


@pytest.mark.parametrize("kind", OUTAGES)
def test_the_learned_limit_is_back_at_once(kind: str) -> None:
    """With the first answer as many requests are in flight as before the outage; nothing is learned twice."""
    outage = Outage(kind, 10.0, 40.0)
    levels: dict[float, int] = {}
    trouble = outage.endpoint.trouble

    def watch(now_s: float, body: bytes) -> Result | None:
        levels[now_s] = outage.endpoint.in_flight
        return trouble(now_s, body)

    outage.endpoint.trouble = watch
    run = send_all(outage.endpoint, 1_600, limit=Limit(1_000))
    before = max(level for time_s, level in levels.items() if 8 < time_s < 10)
    answering_s = min(time_s for time_s, level in levels.items() if time_s > 40 and level)
    after = max(level for time_s, level in levels.items() if answering_s <= time_s < answering_s + 0.5)
    assert len(run.outcomes) == 1_600
    assert before >= 0.9 * SLOTS
    assert after >= 0.9 * before


def test_an_outage_that_comes_and_goes_loses_no_row() -> None:
    """Six seconds away, four seconds there, for ten minutes."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(500) if now_s % 10 < 6 and now_s < 600 else None

    run = send_all(Endpoint(slots, trouble=trouble), 3_200, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == 3_200


def test_long_answers_that_began_before_an_outage_hide_nothing() -> None:
    """They arrive for a minute, and requests that are refused meanwhile lose no attempt."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(503, "overloaded") if 100 <= now_s < 160 else None

    endpoint = Endpoint(slots, lambda chance, busy, now_s: chance.uniform(20, 60), trouble=trouble)
    run = send_all(endpoint, 400, limit=Limit(50, start=50), policy=Policy(max_attempts=1))
    assert not run.failed
    assert (run.count(Paused), run.count(Resumed)) == (1, 1)


@pytest.mark.parametrize("rates", [None, (600, None)])
def test_patience_ends_a_wait(rates: tuple[int, None] | None) -> None:
    """After the user's patience without an answer the run stops, can be resumed, and names the reason."""
    outage = Outage("503", 5.0, 1e9)
    more = {"rates": rates_by_bytes(*rates)} if rates else {}
    run = send_all(outage.endpoint, 2_000, limit=Limit(100), policy=Policy(patience_s=900), **more)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("overloaded", 5)
    assert "overloaded" in run.stop.message
    assert 900 <= run.ended_s <= 940
    assert not run.failed


def test_patience_also_ends_a_wait_in_which_only_canaries_are_answered() -> None:
    """They show that the endpoint works, but a run in which no row succeeds makes no progress."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: None if body == CANARY else refusal(500))
    run = send_all(endpoint, 5_000, limit=Limit(4), policy=Policy(patience_s=60))
    assert run.stop is not None
    assert run.stop.exit_code == 5
    assert run.outcomes == []
    assert 60 <= run.ended_s < 70


@pytest.mark.parametrize("rows", [1, 30])
def test_the_rows_of_a_server_that_breaks_at_canaries_are_still_answered(rows: int) -> None:
    """After an outage of all rows at once: when only suspects are left, they probe too."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(500) if now_s < 20 or body == CANARY else None

    run = send_all(Endpoint(slots, trouble=trouble), rows, policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == rows
    assert run.ended_s < 30


def test_waits_are_short_again_after_each_outage() -> None:
    """A row that has met four outages waits no longer than a row that has met one."""
    sent: Counter[bytes] = Counter()
    times: list[float] = []

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        if body == CANARY:
            return refusal(500) if sent[body] % 2 else None
        times.append(now_s)
        return refusal(500) if sent[CANARY] < 8 else None

    run = send_all(Endpoint(slots, trouble=trouble), 1)
    assert not run.failed
    assert run.count(Resumed) == 4
    assert max(later - earlier for earlier, later in pairwise(times)) <= 4.0  # two probes and a wait of at most 2 s


def test_with_one_slot_and_one_attempt_an_outage_costs_no_row_either() -> None:
    """Rows that are held back until they are judged do not stop the probes."""
    outage = Outage("500", 3.0, 63.0)
    run = send_all(outage.endpoint, 60, limit=Limit(1), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == 60


def test_an_outage_costs_no_row_with_rates_either() -> None:
    """A slow rate does not miss the end of an outage."""
    undisturbed_s = send_all(Endpoint(slots), 1_000, rates=rates_by_bytes(1_200, None)).ended_s
    outage = Outage("500", 10.0, 70.0)
    run = send_all(outage.endpoint, 1_000, rates=rates_by_bytes(1_200, None), policy=Policy(max_attempts=1))
    assert not run.failed
    assert run.ended_s <= 1.1 * (60 + undisturbed_s)
