"""Refusals, through the real pool on the virtual clock: whether they are a row's or the whole run's."""

from collections import Counter

import pytest
from harness.endpoints import Endpoint, Faults, refusal
from harness.runs import CANARY, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Paused, Reply, Request

Result = Reply | Fault
SLOTS = 50


def slots(now_s: float) -> int:
    return SLOTS


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
    """At once, with a cure; every row stays open."""
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
    """Half a second later, at the cost of one request; every row stays open."""
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
def test_a_refusal_of_all_rows_in_the_middle_stops_the_run_and_keeps_what_is_in_flight(
    kind: str, result: Result, exit_code: int, cure: str
) -> None:
    """A revoked key, an empty account: no row fails, requests in flight are kept, and the rest stays open."""
    endpoint = Endpoint(slots, trouble=lambda now_s, body: result if now_s >= 10 else None)
    run = send_all(endpoint, 5_000, limit=Limit(1_000))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert cure in run.stop.message
    assert not run.failed
    assert len(run.outcomes) == endpoint.accepted
    assert 10 < run.ended_s < 15
    assert run.count(Paused) == 0


def test_single_odd_refusals_in_a_run_that_works_are_not_the_runs() -> None:
    """One attempt in a thousand, of each kind: each row is sent again, and answered."""
    results = [result for _, result, _, _ in REFUSALS]
    endpoint = Endpoint(slots, trouble=Faults(0.001, *results))
    endpoint.trouble = (lambda faults: lambda now_s, body: faults(now_s, body) if now_s > 1 else None)(endpoint.trouble)
    run = send_all(endpoint, 20_000, limit=Limit(1_000))
    assert run.stop is None
    assert not run.failed


def test_a_gateway_that_answers_404_while_it_restarts_does_not_stop_the_run() -> None:
    """503 for ten seconds, 404 for one second, then answers."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        if 10 <= now_s < 20:
            return refusal(503)
        return refusal(404, "default backend - 404") if 20 <= now_s < 21 else None

    run = send_all(Endpoint(slots, trouble=trouble), 3_000, limit=Limit(1_000))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == 3_000


def test_an_unknown_second_model_stops_the_run_although_the_first_works() -> None:
    """Its rows could never be answered; the first model's answers in flight are kept."""
    rows = [Request(row, "first" if row < 100 else "second", 0, b"", b"row-%d" % row, None) for row in range(200)]

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(404, "model not found") if body == b"canary-second" or int(body[4:]) >= 100 else None

    run = send_all(Endpoint(slots, trouble=trouble), rows)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("model_not_found", 4)
    assert not run.failed
    assert {outcome.model for outcome in run.outcomes} == {"first"}
