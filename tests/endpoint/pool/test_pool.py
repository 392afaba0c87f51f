"""The pool as a whole, on the virtual clock: what it never does, how it gets through outages, how it stops."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from harness.clock import run_virtually
from harness.endpoints import ANSWER, Endpoint, refusal
from harness.runs import CANARY, Run, requests, send_all

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.rates import Rates
from batchrun.endpoint.pool.rules import Listeners, Policy, Rules
from batchrun.records import Attempted, Event, Fault, Paused, Reply, Request, Resumed, Spent, Stop, Usage

Result = Reply | Fault
SLOTS = 50


def slots(now_s: float) -> int:
    return SLOTS


def count(run: Run, kind: type) -> int:
    return sum(isinstance(event, kind) for event in run.events)


# Outages.

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
    "start": (2_000, 0.0),
    "middle": (4_000, 0.5),
    "end": (2_000, 0.95),
    "three rows": (3, 0.0),
    "one row": (1, 0.0),
}
"""How many rows, and after which share of the undisturbed time it begins."""


class Outage:
    """An endpoint that is away from one time to another, and counts what it is sent."""

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
    """How long so many rows take without an outage."""
    return {rows: send_all(Endpoint(slots), rows, limit=Limit(1_000)).ended_s for rows, _ in PLACES.values()}


@pytest.mark.parametrize("length_s", [7.0, 34.0, 60.0])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_costs_time_but_no_row_and_no_attempt(
    kind: str, place: str, length_s: float, undisturbed: dict[int, float]
) -> None:
    """Even with one attempt a row all are answered, at most a tenth later than outage and work together; told once."""
    rows, share = PLACES[place]
    outage = Outage(kind, share * undisturbed[rows], share * undisturbed[rows] + length_s)
    max_attempts = 1 if length_s >= 34 else 5  # a silence that is over before a probe has failed may be the rows' own
    run = send_all(outage.endpoint, rows, limit=Limit(1_000), policy=Policy(max_attempts=max_attempts))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == rows
    allowed_s = 1.1 * (undisturbed[rows] + length_s)
    assert run.ended_s <= max(allowed_s, undisturbed[rows] + length_s + 6)  # a probe that hangs takes 5 s to find out
    if length_s >= 34:
        assert run.ended_s <= allowed_s
        assert (count(run, Paused), count(run, Resumed)) == (1, 1)
        assert outage.during < SLOTS * 12 + 120
    assert outage.sent[CANARY] <= 60
    assert count(run, Spent) <= 1


def of_two_models(rows: int) -> list[Request]:
    """Return rows of two models in turns; the bodies of the second say so."""
    asked = zip(requests(rows), requests(rows, "n"), strict=True)
    return [each for m, n in asked for each in (m, n._replace(body=b"n-" + n.body))]


@pytest.mark.parametrize("length_s", [34.0, 600.0])
@pytest.mark.parametrize("kind", [kind for kind, fault in OUTAGES.items() if fault is not None])
def test_an_outage_of_one_model_costs_it_no_row_and_the_other_no_time(kind: str, length_s: float) -> None:
    """With one attempt a row; its slots are the other's meanwhile. It is told once, and of the model that is away."""
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
    rows = of_two_models(3_000)
    undisturbed_s = send_all(Endpoint(slots), rows, limit=Limit(1_000)).ended_s
    run = send_all(endpoint, rows, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == len(rows)
    if length_s > undisturbed_s:  # then the other is done by half time
        assert {outcome.model for outcome in run.outcomes[4_500:]} == {"n"}
    assert [type(event) for event in run.events if isinstance(event, Paused | Resumed)] == [Paused, Resumed]
    assert {event.model for event in run.events if isinstance(event, Paused | Resumed)} == {"n"}
    assert sent.total() < SLOTS * 20 + 120
    assert run.ended_s <= 1.1 * max(undisturbed_s + length_s / 2, 20 + length_s + undisturbed_s / 2)


@pytest.mark.parametrize("rows", [1, 2_000])
def test_an_outage_of_a_night_costs_two_probes_a_minute(rows: int) -> None:
    """Eight hours away: no row is lost, and the end is seen within half a minute."""
    outage = Outage("500", 0.0, 8 * 3_600.0)
    run = send_all(outage.endpoint, rows, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == rows
    assert run.ended_s < 8 * 3_600 + 30 + 60
    assert outage.during < 8 * 120 + 120


def test_a_canary_is_sent_only_where_rows_cannot_tell() -> None:
    """In the middle of a run rows probe; one probe in eight may be a canary, and none of these is paid for."""
    outage = Outage("500", 10.0, 70.0)
    run = send_all(outage.endpoint, 4_000, limit=Limit(1_000))
    assert outage.sent[CANARY] <= 60 / 8
    assert count(run, Spent) == 0


@pytest.mark.parametrize("kind", OUTAGES)
def test_the_learned_limit_is_back_at_once(kind: str) -> None:
    """With the first answer as many are in flight as before the outage; nothing is learned anew."""
    outage = Outage(kind, 10.0, 40.0)
    levels: dict[float, int] = {}
    trouble = outage.endpoint.trouble

    def watch(now_s: float, body: bytes) -> Result | None:
        levels[now_s] = outage.endpoint.in_flight
        return trouble(now_s, body)

    outage.endpoint.trouble = watch
    run = send_all(outage.endpoint, 4_000, limit=Limit(1_000))
    before = max(level for time_s, level in levels.items() if 8 < time_s < 10)
    answering_s = min(time_s for time_s, level in levels.items() if time_s > 40 and level)
    after = max(level for time_s, level in levels.items() if answering_s <= time_s < answering_s + 0.5)
    assert len(run.outcomes) == 4_000
    assert before >= 0.9 * SLOTS
    assert after >= 0.9 * before


def test_an_outage_that_comes_and_goes_loses_no_row() -> None:
    """Six seconds away, four seconds there, for ten minutes."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(500) if now_s % 10 < 6 and now_s < 600 else None

    run = send_all(Endpoint(slots, trouble=trouble), 8_000, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == 8_000


def test_long_answers_that_were_begun_before_an_outage_hide_nothing() -> None:
    """While they still come in, a minute long, what is refused meanwhile loses no attempt."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(503, "overloaded") if 100 <= now_s < 160 else None

    endpoint = Endpoint(slots, lambda chance, busy, now_s: chance.uniform(20, 60), trouble=trouble)
    run = send_all(endpoint, 400, limit=Limit(50, start=50), policy=Policy(max_attempts=1))
    assert not run.failed
    assert (count(run, Paused), count(run, Resumed)) == (1, 1)


@pytest.mark.parametrize("rates", [None, (600, None)])
def test_patience_ends_a_wait(rates: tuple[int, None] | None) -> None:
    """After as long as the user said without an answer the run stops, resumable, and says what was wrong."""
    outage = Outage("503", 5.0, 1e9)
    more = {"rates": Rates(*rates)} if rates else {}
    run = send_all(outage.endpoint, 2_000, limit=Limit(100), policy=Policy(patience_s=900), **more)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("overloaded", 5)
    assert "overloaded" in run.stop.message
    assert 900 <= run.ended_s <= 940
    assert not run.failed


def test_patience_ends_also_a_wait_in_which_only_canaries_are_answered() -> None:
    """They say that the endpoint lives, but a run in which no row succeeds makes no progress."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: None if body == CANARY else refusal(500))
    run = send_all(endpoint, 5_000, limit=Limit(4), policy=Policy(patience_s=60))
    assert run.stop is not None
    assert run.stop.exit_code == 5
    assert run.outcomes == []
    assert 60 <= run.ended_s < 70


@pytest.mark.parametrize("rows", [1, 30])
def test_a_server_that_breaks_at_canaries_answers_its_rows_all_the_same(rows: int) -> None:
    """After an outage of all rows at once: when only suspects are left, they probe too."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(500) if now_s < 20 or body == CANARY else None

    run = send_all(Endpoint(slots, trouble=trouble), rows, policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == rows
    assert run.ended_s < 30


def test_waits_are_short_again_after_each_outage() -> None:
    """A row that has met eight outages waits no longer than a row that has met one."""
    sent: Counter[bytes] = Counter()
    times: list[float] = []

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        if body == CANARY:
            return refusal(500) if sent[body] % 2 else None
        times.append(now_s)
        return refusal(500) if sent[CANARY] < 16 else None

    run = send_all(Endpoint(slots, trouble=trouble), 1)
    assert not run.failed
    assert count(run, Resumed) == 8
    assert max(later - earlier for earlier, later in pairwise(times)) <= 4.0  # two probes and a wait of at most 2 s


# Never.


class Faults:
    """Fails a share of all attempts, each kind as often."""

    def __init__(self, share: float, *results: Result, seed: int = 3) -> None:
        self._share, self._results, self._chance = share, results, random.Random(seed)

    def __call__(self, now_s: float, body: bytes) -> Result | None:
        draw = self._chance.random() / self._share
        return self._results[int(draw)] if draw < len(self._results) else None


@pytest.mark.parametrize("ceiling", [1, 2, 7, 30])
def test_the_ceiling_is_never_exceeded(ceiling: int) -> None:
    """Whatever happens: by what is rejected neither, by probes neither, by canaries neither."""
    faults = Faults(0.1, refusal(500), refusal(503), refusal(429, "slow down"), Fault("timeout", "silence", 5.0))
    for limit in (slots, lambda now_s: max(0, ceiling - 2 + int(now_s) % 5)):
        endpoint = Endpoint(limit, trouble=faults)
        run = send_all(endpoint, 300, limit=Limit(ceiling, start=1_000), policy=Policy(max_attempts=50))
        assert endpoint.peak_sent == ceiling
        assert Counter(outcome.row for outcome in run.outcomes) == Counter(range(300))


def test_with_one_slot_and_one_attempt_an_outage_is_got_through_too() -> None:
    """Rows that are kept back until they are judged do not keep probes from being sent."""
    outage = Outage("500", 3.0, 63.0)
    run = send_all(outage.endpoint, 60, limit=Limit(1), policy=Policy(max_attempts=1))
    assert not run.failed
    assert len(run.outcomes) == 60


def test_random_faults_leave_every_row_answered() -> None:
    """A tenth of all attempts 500, 503 and 429 each: no row is lost, no outage seen, a third of the slots used."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(500), refusal(503), refusal(429, "slow down")))
    run = send_all(endpoint, 10_000, limit=Limit(1_000), policy=Policy(max_attempts=12))
    assert not run.failed
    assert len(run.outcomes) == 10_000
    assert count(run, Paused) == 0
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.35


def test_rejections_by_chance_do_not_starve_the_run() -> None:
    """A tenth of all attempts 429 for no reason: half of the slots' time is used all the same."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(429, "slow down")))
    run = send_all(endpoint, 10_000, limit=Limit(1_000))
    assert not run.failed
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.5


def test_random_500s_do_not_slow_the_run_down() -> None:
    """Three attempts in ten fail at once: no pause, and the slots are in use."""
    endpoint = Endpoint(slots, trouble=Faults(0.15, refusal(500), refusal(503)))
    run = send_all(endpoint, 10_000, limit=Limit(1_000), policy=Policy(max_attempts=30))
    assert not run.failed
    assert count(run, Paused) == 0
    assert endpoint.busy_s / (SLOTS * run.ended_s) >= 0.9


def test_fresh_rows_are_sent_in_their_order() -> None:
    """What is sent again comes between; what was never sent keeps its order."""
    first: list[int] = []

    def trouble(now_s: float, body: bytes) -> Result | None:
        row = int(body[4:])
        if row not in first:
            first.append(row)
            return refusal(500) if row % 7 == 3 else None
        return None

    send_all(Endpoint(slots, trouble=trouble), 1_000)
    assert first == list(range(1_000))


def test_a_waiting_row_holds_no_slot() -> None:
    """Twenty rows wait for a minute as they were told; all slots are used by the others."""
    told: set[bytes] = set()

    def trouble(now_s: float, body: bytes) -> Result | None:
        if int(body[4:]) < 20 and body not in told:
            told.add(body)
            return refusal(503, "later", retry_after="60")
        return None

    endpoint = Endpoint(slots, trouble=trouble)
    run = send_all(endpoint, 2_000, limit=Limit(50, start=50))
    others_s = sorted(outcome.finished_at_ms for outcome in run.outcomes)
    assert len(others_s) == 2_000
    assert endpoint.peak == 50
    assert 60 <= run.ended_s < 63


# Refusals.

REFUSALS = [
    ("unauthorized", refusal(401, "Authentication failed"), 4, "check the key"),
    ("quota_exhausted", refusal(402, "You exceeded your current quota"), 5, "add credits"),
    ("quota_exhausted", refusal(429, "You exceeded your current quota"), 5, "add credits"),
    ("forbidden", refusal(403, "Country, region, or territory not supported"), 4, "region"),
    ("account_unsupported", refusal(429, "isn't available for personal accounts"), 4, "--project TEAM/PROJECT"),
    ("model_not_found", refusal(404, "model not found"), 4, "batchrun models"),
    ("model_not_found", refusal(400, "Invalid model name passed in model=m"), 4, "batchrun models"),
    ("forbidden", Reply(307, {"location": "https://elsewhere.example/"}, b"", 0.01), 4, "base URL"),
]


OF_THE_MODEL = [case for case in REFUSALS if case[0] == "model_not_found"]
OF_THE_JOB = [case for case in REFUSALS if case not in OF_THE_MODEL]


@pytest.mark.parametrize(("kind", "result", "exit_code", "cure"), OF_THE_JOB)
def test_a_first_reply_that_refuses_stops_the_run(kind: str, result: Result, exit_code: int, cure: str) -> None:
    """At once, with what to do about it; every row stays open."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: result)
    run = send_all(endpoint, 1_000)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert cure in run.stop.message
    assert run.outcomes == []
    assert endpoint.received <= 8
    assert run.ended_s < 0.1


@pytest.mark.parametrize(("kind", "result", "exit_code", "cure"), OF_THE_MODEL)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_a_model_that_is_unknown_from_the_start_stops_the_run_as_soon_as_a_canary_says_so_too(
    kind: str, result: Result, exit_code: int, cure: str, rows: int
) -> None:
    """Half a second later: one request more, and every row stays open."""
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result:
        sent[body] += 1
        return result

    run = send_all(Endpoint(slots, trouble=trouble), rows)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert run.stop.message.startswith("m: ")
    assert cure in run.stop.message
    assert run.outcomes == []
    assert sent[CANARY] == 1
    assert sent.total() <= 9
    assert run.ended_s < 0.6


ABOUT_ONE_ROW = [
    ("model_not_found", refusal(400, "The model in your text does not exist")),
    ("model_not_found", refusal(422, "model output field not found")),
    ("model_not_found", refusal(404, "No endpoints found that support image input")),
    ("quota_exhausted", refusal(400, "your text says: Budget has been exceeded!")),
    ("unauthorized", refusal(400, "Authentication Error in line 3 of your text")),
    ("model_not_found", Reply(200, {}, b'{"error": {"code": 404, "message": "no such page"}}', 0.01)),
]


@pytest.mark.parametrize(("kind", "result"), ABOUT_ONE_ROW)
@pytest.mark.parametrize("rows", [{0}, {0, 1, 5}, {999}])
def test_a_refusal_of_single_rows_fails_these_rows_whatever_its_text_says(
    kind: str, result: Result, rows: set[int]
) -> None:
    """Also when it is the first reply of the run: a canary is answered, so the model exists; so are the other rows."""
    bodies = {b"row-%d" % row for row in rows}
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        return result if body in bodies else None

    run = send_all(Endpoint(slots, trouble=trouble), 1_000, limit=Limit(SLOTS))
    assert run.stop is None
    assert {(outcome.row, outcome.kind) for outcome in run.failed} == {(row, kind) for row in rows}
    assert len(run.outcomes) == 1_000
    assert {sent[body] for body in bodies} == {Policy().max_attempts}
    assert sent[CANARY] <= 6


def test_a_single_row_that_is_refused_fails_when_a_canary_is_answered() -> None:
    """A job of one row whose text the endpoint mistakes for the name of a model."""
    refused = refusal(400, "The model in your text does not exist")
    run = send_all(Endpoint(slots, trouble=lambda now_s, body: None if body == CANARY else refused), 1)
    assert run.stop is None
    assert [(outcome.kind, outcome.attempts) for outcome in run.outcomes] == [("model_not_found", 5)]


@pytest.mark.parametrize(("kind", "result", "exit_code", "cure"), REFUSALS)
def test_a_refusal_of_everybody_in_the_middle_stops_the_run_and_keeps_what_is_in_flight(
    kind: str, result: Result, exit_code: int, cure: str
) -> None:
    """A revoked key, an empty account: nothing fails, what was begun is kept, and the rest stays open."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: result if now_s >= 10 else None)
    run = send_all(endpoint, 5_000, limit=Limit(1_000))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert cure in run.stop.message
    assert not run.failed
    assert len(run.outcomes) == endpoint.accepted
    assert 10 < run.ended_s < 15
    assert count(run, Paused) == 0


def test_single_odd_refusals_in_a_run_that_works_are_not_taken_for_the_run() -> None:
    """One in a hundred, of each kind: each row is tried again, and answered."""
    results = [result for _, result, _, _ in REFUSALS]
    endpoint = Endpoint(slots, trouble=Faults(0.001, *results))
    endpoint.trouble = (lambda faults: lambda now_s, body: faults(now_s, body) if now_s > 1 else None)(endpoint.trouble)
    run = send_all(endpoint, 20_000, limit=Limit(1_000))
    assert run.stop is None
    assert not run.failed


def test_a_gateway_that_says_404_while_it_restarts_does_not_stop_the_run() -> None:
    """503 for ten seconds, 404 for one, then all is well."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        if 10 <= now_s < 20:
            return refusal(503)
        return refusal(404, "default backend - 404") if 20 <= now_s < 21 else None

    run = send_all(Endpoint(slots, trouble=trouble), 3_000, limit=Limit(1_000))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == 3_000


def test_an_unknown_second_model_stops_though_the_first_works() -> None:
    """Its rows could never be answered; those of the first that are in flight are kept."""
    rows = [Request(row, "first" if row < 100 else "second", 0, b"", b"row-%d" % row, None) for row in range(200)]

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(404, "model not found") if body == b"canary-second" or int(body[4:]) >= 100 else None

    run = send_all(Endpoint(slots, trouble=trouble), rows)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("model_not_found", 4)
    assert not run.failed
    assert {outcome.model for outcome in run.outcomes} == {"first"}


# Draining.

USER = Stop(kind="interrupted", message="Ctrl-C", exit_code=130)


class Stage:
    """A pool that a test drives itself."""

    def __init__(self, endpoint: Any, rows: int, *, on_outcome: Any = None, **settings: Any) -> None:
        self.outcomes: list[int] = []
        self.asked = 0
        self.is_open = True
        self.events: list[Event] = []
        self.pool = Pool(
            endpoint,
            settings.pop("limit", None) or Limit(20, start=20),
            Rules(
                policy=Policy(**settings.pop("policy", {})),
                canary=lambda model: Request(-1, model, 0, b"", CANARY, None),
                **settings,
            ),
            Listeners(
                on_outcome=on_outcome or (lambda outcome: self.outcomes.append(outcome.row)),
                on_event=self.events.append,
            ),
            may_admit=self._may_admit,
            uniform=random.Random(7).random,
            unix_s=lambda: 0.0,
        )
        self._rows = rows

    def _may_admit(self) -> bool:
        self.asked += 1
        return self.is_open

    async def batches(self) -> AsyncIterator[Sequence[Request]]:
        for start in range(0, self._rows, 100):
            yield requests(self._rows)[start : start + 100]

    def run(self, meanwhile: Callable[["Stage"], Any] | None = None, after_s: float = 0.0) -> Stop | None:
        """Run to the end; call `meanwhile` after a while."""

        async def main() -> Stop | None:
            if meanwhile is not None:
                asyncio.get_running_loop().call_later(after_s, meanwhile, self)
            return await self.pool.run(self.batches())

        return run_virtually(main())


@pytest.mark.parametrize("rates", [None, (1_200, None), (None, 6_000), (60, 60)])
@pytest.mark.parametrize("after_s", [0.001, 0.01, 3.0])
def test_stop_keeps_what_is_in_flight_and_sends_nothing_more(rates: Any, after_s: float) -> None:
    """What was sent is answered and kept; run() returns the first reason, also where a request waits for a rate."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 5_000, rates=Rates(*rates) if rates else None)
    sent: list[int] = []

    def stop(stage: Stage) -> None:
        stage.pool.stop(USER)
        stage.pool.stop(Stop(kind="second", message="", exit_code=1))
        sent.append(endpoint.received)

    assert stage.run(stop, after_s) is USER
    assert sent == [endpoint.received]
    assert len(stage.outcomes) == endpoint.accepted
    assert stage.pool.in_flight == 0
    assert "stopping" in repr(stage.pool)


@pytest.mark.parametrize("rates", [None, (1_200, None)])
def test_stop_ends_a_pause_at_once(rates: Any) -> None:
    """Nobody waits for an endpoint that is away, when told to stop."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(503, "overloaded") if now_s > 2 else None)
    stage = Stage(endpoint, 5_000, rates=Rates(*rates) if rates else None)
    seen: list[Any] = []

    def stop(stage: Stage) -> None:
        seen.extend([stage.pool.trouble, repr(stage.pool), asyncio.get_running_loop().time()])
        stage.pool.stop(USER)

    assert stage.run(stop, 300.0) is USER
    assert seen[0] == "overloaded"
    assert "paused" in seen[1]
    assert len(stage.outcomes) == endpoint.accepted


def test_stop_before_anything_was_sent_sends_nothing() -> None:
    """A deadline that has passed already is kept."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 100)
    stage.pool.stop(USER)
    assert stage.run() is USER
    assert endpoint.received == 0


@pytest.mark.parametrize("limit", [1, 20])
def test_every_attempt_is_counted_when_a_row_waits_for_its_rate_as_the_run_stops(limit: int) -> None:
    """One row was sent twice and waits to be sent a third time: both attempts are reported, in no outcome."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(500) if body == b"row-0" else None)
    stage = Stage(endpoint, 200, rates=Rates(6, None), limit=Limit(limit))
    stage.run(lambda stage: stage.pool.stop(USER), 55.0)
    reported = sum(event.attempts for event in stage.events if isinstance(event, Attempted))
    assert reported + len(stage.outcomes) == endpoint.received
    assert reported


@pytest.mark.parametrize("after_s", [float(second) for second in range(1, 60, 3)])
def test_what_a_row_set_aside_is_free_again_when_the_run_stops_before_it_was_sent(after_s: float) -> None:
    """Nothing stays set aside once all that was sent has been answered."""
    budget = Budget(NO_CAP._replace(usd=1e6), Used(), lambda request: Amount(1.0, 10), lambda model, usage: Amount())
    stage = Stage(Endpoint(slots), 200, rates=Rates(6, None), budget=budget)
    stage.run(lambda stage: stage.pool.stop(USER), after_s)
    assert (budget.reserved_usd, budget.reserved_tokens) == (0.0, 0)


def test_while_the_store_is_behind_nothing_is_sent_until_woken() -> None:
    """`may_admit` holds back, what is in flight comes in, and `wake` goes on."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 1_000)
    received: list[int] = []

    def close(stage: Stage) -> None:
        stage.is_open = False
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: received.append(endpoint.received))
        loop.call_later(100, open_again)

    def open_again() -> None:
        received.append(endpoint.received)
        stage.asked = 0
        stage.is_open = True
        stage.pool.wake()

    stage.run(close, 5.0)
    assert received[0] == received[1]
    assert sorted(stage.outcomes) == list(range(1_000))


def test_an_exception_of_on_outcome_comes_out_as_itself() -> None:
    """A disk that is full ends the run with its own error; what was in flight is cancelled."""
    endpoint = Endpoint(slots)

    def refuse(outcome: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Stage(endpoint, 100, on_outcome=refuse).run()
    assert endpoint.in_flight == 0


@pytest.mark.parametrize("rates", [None, (1_200, None)])
def test_an_exception_of_the_client_or_of_the_input_comes_out_as_itself(rates: Any) -> None:
    """A defect is told as what it is, not wrapped in a group."""

    class Broken:
        async def send(self, body: bytes) -> Reply:
            await asyncio.sleep(0.1)
            raise KeyError("defect")

    with pytest.raises(KeyError, match="defect"):
        Stage(Broken(), 100, rates=Rates(*rates) if rates else None).run()

    stage = Stage(Endpoint(slots), 100)

    async def broken() -> AsyncIterator[Sequence[Request]]:
        yield requests(10)
        raise ValueError("torn file")

    stage.batches = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="torn file"):
        stage.run()


def test_a_run_that_is_cancelled_is_cancelled() -> None:
    """CancelledError is passed on, and leaves nothing in flight."""
    endpoint = Endpoint(slots)
    stage = Stage(endpoint, 1_000)

    async def main() -> None:
        task = asyncio.create_task(stage.pool.run(stage.batches()))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    assert endpoint.in_flight == 0


# Waiting without work.

WAITS = {
    "an outage": lambda now_s: refusal(503, "overloaded"),
    "no slot": lambda now_s: refusal(429, "Concurrency limit reached for requests"),
    "a rate": lambda now_s: refusal(429, "requests per minute", retry_after="60"),
    "silence": lambda now_s: Fault("timeout", "no answer in time", 600.0),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_waiting_an_hour_takes_next_to_no_work(wait: str, rows: int) -> None:
    """Whatever is waited for: the pool looks a few times a minute, not without end."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: WAITS[wait](now_s) if now_s < 3_600 else None)
    stage = Stage(endpoint, rows)
    assert stage.run() is None
    assert sorted(stage.outcomes) == list(range(rows))
    assert stage.asked < 4_000 + 4 * rows


# Money.


def test_a_budget_stops_the_run_and_is_never_passed() -> None:
    """Ten requests fit at a time, each costs a tenth of what it might: the cap is used, and kept."""
    endpoint = Endpoint(slots, trouble=Faults(0.1, refusal(500), Fault("connection", "cut", 0.2)))

    def used(model: str, usage: Usage) -> Amount | None:
        return Amount(0.1, 15) if usage.total_tokens else None

    spent = Budget(NO_CAP._replace(usd=10.0), Used(), lambda request: Amount(1.0, 100), used)
    run = send_all(endpoint, 1_000, budget=spent, policy=Policy(max_attempts=20))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("cost_cap", 5)
    assert "--max-cost" in run.stop.message
    assert 9.0 < spent.used.total.usd <= 10.0
    assert spent.reserved_usd == pytest.approx(0.0)
    assert endpoint.peak_sent <= 10


def test_a_budget_for_one_request_at_a_time_is_no_reason_to_stop_in_a_pause() -> None:
    """What an outage gives back may be spent when it is over."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: refusal(500) if now_s < 30 else None)
    budget = Budget(NO_CAP._replace(usd=1.5), Used(), lambda request: Amount(1.0), lambda model, usage: Amount(0.001))
    run = send_all(endpoint, 20, budget=budget)
    assert len(run.outcomes) == 20


# Rates.


def test_rates_hold_through_the_pool_also_for_what_is_sent_again() -> None:
    """No minute sees more than allowed, whatever fails, and the run takes as long as the rate asks."""
    times: list[float] = []
    faults = Faults(0.1, refusal(500), Fault("connection", "cut", 0.2))

    def trouble(now_s: float, body: bytes) -> Result | None:
        times.append(now_s)
        return faults(now_s, body)

    run = send_all(Endpoint(slots, trouble=trouble), 900, rates=Rates(300, None), policy=Policy(max_attempts=20))
    assert not run.failed
    assert len(run.outcomes) == 900
    for start_s in times:
        assert sum(start_s <= each < start_s + 60 - 1e-6 for each in times) <= 300
    assert run.ended_s < 1.1 * len(times) / 300 * 60


def test_an_outage_is_got_through_with_rates_too() -> None:
    """The pace of admission is no reason to miss the end of an outage."""
    undisturbed_s = send_all(Endpoint(slots), 1_000, rates=Rates(1_200, None)).ended_s
    outage = Outage("500", 10.0, 70.0)
    run = send_all(outage.endpoint, 1_000, rates=Rates(1_200, None), policy=Policy(max_attempts=1))
    assert not run.failed
    assert run.ended_s <= 1.1 * (60 + undisturbed_s)


def test_a_canary_that_is_judged_at_all_shows_that_the_endpoint_works() -> None:
    """A server that refuses canaries as such (400) answers; it makes no row, and no endless row of canaries."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(400, "max_tokens too small") if body == CANARY else refusal(500)

    endpoint = Endpoint(slots, trouble=trouble)
    run = send_all(endpoint, 12, policy=Policy(max_attempts=2))
    assert sorted(outcome.row for outcome in run.outcomes) == list(range(12))
    assert endpoint.received < 60


def test_the_pool_tells_what_it_holds() -> None:
    """In flight, waiting, throttled, and what is to come: for the bar, and for people who debug."""
    endpoint = Endpoint(lambda now_s: 5)
    stage = Stage(endpoint, 300)
    seen: list[Any] = []

    def look(stage: Stage) -> None:
        seen.extend([stage.pool.in_flight, stage.pool.throttled, stage.pool.trouble, repr(stage.pool)])

    stage.run(look, 2.0)
    assert 0 < seen[0] <= 20
    assert seen[1] > 0
    assert seen[2] is None
    assert "open" in seen[3]
    assert stage.pool.waiting == 0


def test_an_answer_is_taken_as_it_came() -> None:
    """The outcome has the very bytes."""
    run = send_all(Endpoint(slots), 3)
    assert [outcome.body for outcome in run.outcomes] == [ANSWER] * 3
    assert run.events == []
