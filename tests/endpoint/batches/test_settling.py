from typing import Any

import orjson
import pytest

from batchrun.endpoint.batches.settling import Again, Asked, Rules, missing, refusal, settled, stops_run
from batchrun.endpoint.pool.repair import Repair
from batchrun.job.sections import Response
from batchrun.records import BY_BATCH, BatchLine, Outcome, Reply, Usage

LINE = BatchLine(1, 7, 7, bytes(16), "theirs")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def rules(repair: Repair | None = None, *, has_answers: bool = True) -> Rules:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
    return Rules("chat", 3, repair, lambda line: Asked(7, "m", 0, ""), lambda line: body, has_answers)


def reply(status: int, body: object) -> Reply:
    return Reply(status, {}, orjson.dumps(body), 0.0)


def answer(text: str) -> Reply:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return reply(200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


def error(status: int) -> Reply:
    return reply(status, {"error": {"message": "x"}})


def test_an_answer_becomes_an_outcome_with_the_users_label() -> None:
    outcome = settled(LINE, answer("Yes"), rules(), 5)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.custom_id, outcome.attempts, outcome.endpoint) == (None, "theirs", 1, BY_BATCH)
    assert outcome.usage.total_tokens == 7
    assert outcome.latency_s is None


def test_a_refusal_of_the_row_is_final() -> None:
    outcome = settled(LINE, error(400), rules(), 5)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.http_status) == ("bad_request", 400)


@pytest.mark.parametrize(
    ("statuses", "has_answers", "rounds"),
    [
        ((500, 429, 425, 503, 529), True, 3),
        ((500,), False, 3),
        ((429, 425, 503, 529), False, 6),
    ],
    ids=["others are answered", "outage", "overload"],
)
def test_what_may_pass_is_sent_again_in_as_many_batches_as_a_row_has_attempts(
    statuses: tuple[int, ...], has_answers: bool, rounds: int
) -> None:
    """An overload costs a single request a quarter of an attempt, a rejection nothing; a batch takes hours."""
    for status in statuses:
        assert _rounds(status, has_answers=has_answers) == rounds


def _rounds(status: int, *, has_answers: bool) -> int:
    line, count = LINE, 0
    while isinstance(became := settled(line, error(status), rules(has_answers=has_answers), 5), Again):
        line, count = became.line, count + 1
    assert count + 1 == became.attempts
    return count + 1


def test_a_line_that_was_not_run_costs_nothing() -> None:
    assert settled(LINE, None, rules(), 5) == Again(LINE, Usage())


def test_a_line_that_a_completed_batch_does_not_have_costs_an_attempt() -> None:
    became = missing(LINE, rules(), 5)
    assert isinstance(became, Again)
    assert became.line.attempts == 1


def test_an_answer_that_does_not_fit_is_asked_again_with_the_reason_as_often_as_the_job_says() -> None:
    repair = Repair(Response(schema=SCHEMA, repair_attempts=1))
    became = settled(LINE, answer("no JSON"), rules(repair), 5)
    assert isinstance(became, Again)
    assert became.usage.total_tokens == 7
    assert became.line.body is not None
    asked: Any = orjson.loads(became.line.body)
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
    last = settled(became.line, answer("again no JSON"), rules(repair), 5)
    assert isinstance(last, Outcome)
    assert (last.kind, last.attempts) == ("invalid_response", 2)


@pytest.mark.parametrize("before", [[{"role": "user", "content": "Hi"}], "Hi"])
def test_what_was_asked_again_is_asked_again_without_the_first_repair(before: Any) -> None:
    """As in the ordinary way: every token is paid for. The body at hand is that of the repair before."""
    key = "messages" if isinstance(before, list) else "input"
    repair = Repair(Response(schema=SCHEMA, repair_attempts=2))
    bodies = [orjson.dumps({"model": "m", key: before})]
    line = LINE
    for text in ("no JSON", "again no JSON"):
        became = settled(line, answer(text), rules(repair)._replace(body_of=lambda line: bodies[-1]), 5)
        assert isinstance(became, Again)
        assert became.line.body is not None
        line = became.line
        bodies.append(became.line.body)
    [*first, theirs, ours] = orjson.loads(bodies[-1])[key]
    assert first == [{"role": "user", "content": "Hi"}]
    assert theirs["content"] == "again no JSON"
    assert ours["role"] == "user"


@pytest.mark.parametrize("text", ["invalid api key", "model not found", "rate limit reached, try again in 5s"])
def test_what_an_error_repeats_of_the_request_does_not_count(text: str) -> None:
    """A prompt about such an error is a row's own matter."""
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": f"Explain: {text}"}]})
    echo = reply(400, {"error": {"message": f"cannot parse the request: Explain: {text}"}})
    outcome = settled(LINE, echo, rules()._replace(body_of=lambda line: body), 5)
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "bad_request"
    found = refusal(echo, "chat", lambda: body)
    assert found is not None
    assert found.kind == "bad_request"


def test_a_batch_ends_the_run_only_where_all_lines_were_refused_and_the_row_is_not_at_fault() -> None:
    key, bad = refusal(error(401), "chat", bytes), refusal(error(400), "chat", bytes)
    assert key is not None
    assert bad is not None
    assert refusal(answer("Yes"), "chat", bytes) is None
    assert stops_run(1, 1, key)
    assert not stops_run(9, 9, bad)
    assert stops_run(10, 10, bad)
    assert not stops_run(10, 11, bad)
