"""Refusals, through the real pool on the virtual clock: whether they are a row's or the whole run's."""

import random
from collections import Counter

import pytest
from harness.endpoints import Endpoint, Faults, refusal
from harness.runs import CANARY, send_all

from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Attempted, Fault, Paused, Reply, Request

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


OF_THE_MODEL = {"model_not_found"}
"""Kinds whose message names the model."""


@pytest.mark.parametrize(("kind", "result", "exit_code", "cure"), REFUSALS)
@pytest.mark.parametrize("rows", [1, 1_000])
def test_a_refusal_from_the_start_stops_the_run_as_soon_as_a_canary_is_refused_too(
    kind: str, result: Result, exit_code: int, cure: str, rows: int
) -> None:
    """Half a second later, after a canary and two fresh rows, with a cure; every row stays open."""
    sent: Counter[bytes] = Counter()

    def trouble(now_s: float, body: bytes) -> Result:
        sent[body] += 1
        return result

    run = send_all(Endpoint(slots, trouble=trouble), rows)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert run.stop.message.startswith("m: ") == (kind in OF_THE_MODEL)
    assert cure in run.stop.message
    assert run.outcomes == []
    assert sent[CANARY] == 1
    assert sent.total() <= 11
    assert run.ended_s < 0.6


ABOUT_ONE_ROW = [
    ("model_not_found", refusal(400, "The model in your text does not exist")),
    ("model_not_found", refusal(422, "model output field not found")),
    ("model_not_found", refusal(404, "No endpoints found that support image input")),
    ("quota_exhausted", refusal(400, "your text says: Budget has been exceeded!")),
    ("unauthorized", refusal(400, "Authentication Error in line 3 of your text")),
    ("forbidden", refusal(403, "Your input did not please the firewall")),
    ("unauthorized", refusal(401, "This prompt needs a login")),
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
    assert 10 < run.ended_s < (15 if exit_code == 5 else 22)
    assert run.count(Paused) == 0


def test_single_odd_refusals_in_a_run_that_works_are_not_the_runs() -> None:
    """One attempt in a thousand, of each kind: each row is sent again, and answered."""
    results = [result for _, result, _, _ in REFUSALS]
    endpoint = Endpoint(slots, trouble=Faults(0.001, *results))
    endpoint.trouble = (lambda faults: lambda now_s, body: faults(now_s, body) if now_s > 1 else None)(endpoint.trouble)
    run = send_all(endpoint, 20_000, limit=Limit(1_000))
    assert run.stop is None
    assert not run.failed


IN_ANY_WORDS = [
    ("bad_request", refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."), 4),
    ("bad_request", refusal(422, "words that nobody has seen yet"), 4),
    ("bad_request", refusal(418), 4),
    ("quota_exhausted", refusal(400, "Your credit balance is too low to access the API"), 5),
    ("too_large", refusal(413), 4),
    ("context_length", refusal(400, "max_tokens and prompt exceed the context length"), 4),
    ("bad_draw", refusal(400, "json_validate_failed, please try again"), 4),
    ("content_filter", refusal(400, "the system prompt violates our content policy"), 4),
]


@pytest.mark.parametrize(("kind", "result", "exit_code"), IN_ANY_WORDS)
@pytest.mark.parametrize("begins_s", [0.0, 10.0])
def test_what_refuses_every_row_stops_the_run_and_fails_no_row_whatever_its_words(
    kind: str, result: Result, exit_code: int, begins_s: float
) -> None:
    """A parameter of the job, credit that ends in the middle: few requests are sent in vain, and all rows stay open."""
    refused = [0]

    def trouble(now_s: float, body: bytes) -> Result | None:
        refused[0] += now_s >= begins_s
        return result if now_s >= begins_s else None

    endpoint = Endpoint(slots, trouble=trouble)
    run = send_all(endpoint, 5_000, limit=Limit(1_000))
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == (kind, exit_code)
    assert "run the same command again" in run.stop.message
    assert not run.failed
    assert len(run.outcomes) == endpoint.accepted
    is_asked_longer = begins_s > 0 and exit_code == 4
    assert refused[0] <= (27 if is_asked_longer else 12)
    assert run.ended_s < begins_s + (12 if is_asked_longer else 5)
    assert sum(event.attempts for event in run.events if isinstance(event, Attempted)) == refused[0]


@pytest.mark.parametrize("from_s", [0, 5])
def test_refusals_whose_words_repeat_the_prompt_are_the_runs_too(from_s: float) -> None:
    """No two have the same words. So many without a success make a canary ask, and only the status is compared."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        chance = random.Random(body)
        words = ["".join(chance.choices("abcdefgh", k=9)) for _ in range(5)]
        return refusal(400, "no " + " ".join(words)) if now_s >= from_s else None

    run = send_all(Endpoint(slots, trouble=trouble), 5_000, limit=Limit(1_000))
    assert run.stop is not None
    assert run.stop.exit_code == 4
    assert not run.failed


@pytest.mark.parametrize(("slots_allowed", "refused"), [(1, 1_000), (8, 1_000), (200, 3_000)])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_thousands_of_rows_that_are_refused_in_a_row_fail_and_hold_nothing_up(
    status: int, slots_allowed: int, refused: int
) -> None:
    """A file that is sorted by length: canaries are answered, ever fewer are sent, and each row is sent once."""
    sent: Counter[bytes] = Counter()
    stretch = range(500, 500 + refused)

    def trouble(now_s: float, body: bytes) -> Result | None:
        sent[body] += 1
        is_row = body != CANARY and int(body[4:]) in stretch
        return refusal(status, f"your prompt has {len(sent)} tokens too many") if is_row else None

    run = send_all(Endpoint(slots, trouble=trouble), refused + 1_000, limit=Limit(slots_allowed))
    assert run.stop is None
    assert len(run.outcomes) == refused + 1_000
    assert {outcome.row for outcome in run.failed} == set(stretch)
    assert all(outcome.attempts == 1 for outcome in run.failed)
    assert sent[CANARY] <= 12


def test_a_canary_with_the_jobs_parameters_that_is_refused_for_another_reason_is_followed_by_a_bare_one() -> None:
    """A short text may not fit the job's parameters. If the bare canary is answered, the rows are at fault."""
    bare: list[bool] = []

    def canary(model: str, *, is_bare: bool) -> Request:
        bare.append(is_bare)
        return Request(-1, model, 0, b"", b"bare" if is_bare else b"full", None)

    def trouble(now_s: float, body: bytes) -> Result | None:
        if body == b"full":
            return refusal(400, "this model needs an image")
        return refusal(400, "the text is too odd") if body.startswith(b"row-") and int(body[4:]) >= 40 else None

    run = send_all(Endpoint(slots, trouble=trouble), 60, canary=canary)
    assert run.stop is None
    assert {outcome.row for outcome in run.failed} == set(range(40, 60))
    assert bare[:2] == [False, True]


def test_a_parameter_of_the_job_that_only_the_full_canary_has_is_the_runs() -> None:
    """A bare canary would be answered."""

    def canary(model: str, *, is_bare: bool) -> Request:
        return Request(-1, model, 0, b"", b"bare" if is_bare else b"full", None)

    def trouble(now_s: float, body: bytes) -> Result | None:
        return None if body == b"bare" else refusal(400, f"no parameter 'top_k' here (request {len(body)}-{now_s})")

    run = send_all(Endpoint(slots, trouble=trouble), 60, canary=canary)
    assert run.stop is not None
    assert run.stop.exit_code == 4
    assert not run.outcomes


def test_a_canary_that_meets_an_outage_decides_nothing() -> None:
    """It asks again later; then the rows are sent again."""

    def trouble(now_s: float, body: bytes) -> Result | None:
        if 5 <= now_s < 15:
            return refusal(503) if body == CANARY or now_s > 6 else refusal(400, "credit balance")
        return None

    run = send_all(Endpoint(slots, trouble=trouble), 3_000, limit=Limit(1_000), policy=Policy(max_attempts=1))
    assert run.stop is None
    assert not run.failed
    assert len(run.outcomes) == 3_000


@pytest.mark.parametrize("page", [b"<html>welcome</html>", b'{"status": "ok"}', b""])
def test_a_wrong_url_that_answers_200_stops_the_run(page: bytes) -> None:
    """As long as nothing was ever answered. After answers it is an outage."""
    run = send_all(Endpoint(slots, trouble=lambda now_s, body: Reply(200, {}, page, 0.01)), 100)
    assert run.stop is not None
    assert (run.stop.kind, run.stop.exit_code) == ("bad_reply", 4)
    assert "check the base URL" in run.stop.message
    assert not run.outcomes
    later = Endpoint(slots, trouble=lambda now_s, body: Reply(200, {}, page, 0.01) if 5 < now_s < 40 else None)
    run = send_all(later, 2_000, policy=Policy(max_attempts=1))
    assert run.stop is None
    assert not run.failed


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_server_that_refuses_requests_by_chance_does_not_stop_the_run(share: float, seed: int) -> None:
    """It refuses canaries as often as rows. Only the rows that are refused fail."""
    chance = random.Random(seed)

    def trouble(now_s: float, body: bytes) -> Result | None:
        return refusal(400, "no") if chance.random() < share else None

    run = send_all(Endpoint(slots, trouble=trouble), 2_000, limit=Limit(1_000))
    assert run.stop is None
    assert len(run.outcomes) == 2_000
    assert len(run.failed) == pytest.approx(share * 2_000, rel=0.25)


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
