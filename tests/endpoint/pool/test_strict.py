"""Models that refuse `strict` get the schema without it."""

import pytest

from batchrun.endpoint.pool.backlog import Work
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.strict import Strictness
from batchrun.records import Event, Fault, Loosened, Reply, Request

STRICT, LENIENT = b'{"s":1,"strict":true}', b'{"s":1}'
BODY = b'{"model":"m","response_format":' + STRICT + b"}"
REFUSAL = Reply(400, {}, b'{"error": {"message": "Unknown parameter: strict"}}', 0.1)


def work(model: str = "m", body: bytes = BODY, *, is_canary: bool = False) -> Work:
    return Work(Request(0, model, 0, b"", body, None), 5, is_canary=is_canary)


def is_refused(strictness: Strictness, sent: Work, result: Reply | Fault, events: list[Event]) -> bool:
    return strictness.is_refused(sent, result, judge(result), events.append)


def test_a_refused_model_is_asked_without_strict_from_then_on() -> None:
    """Other models are not, and the user hears of it once."""
    strictness, events, refused = Strictness(STRICT, LENIENT), list[Event](), work()
    strictness.adjust(refused)
    assert refused.request.body == BODY
    assert is_refused(strictness, refused, REFUSAL, events)
    assert is_refused(strictness, work(), REFUSAL, events)
    assert events == [Loosened("m", "Unknown parameter: strict")]
    other = work("n")
    for each in (refused, other):
        strictness.adjust(each)
    assert refused.request.body == BODY.replace(STRICT, LENIENT)
    assert other.request.body == BODY


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        (work(is_canary=True), REFUSAL),
        (work(body=b'{"model":"m"}'), REFUSAL),
        (work(), REFUSAL._replace(status=500)),
        (work(), REFUSAL._replace(body=b'{"error": {"message": "temperature is too high"}}')),
        (work(), Fault("timeout", "strict", 1.0)),
    ],
)
def test_other_refusals_are_not_of_strict(sent: Work, result: Reply | Fault) -> None:
    """They are judged like any other, and nothing is sent without it."""
    strictness, events = Strictness(STRICT, LENIENT), list[Event]()
    assert not is_refused(strictness, sent, result, events)
    assert not events
    strictness.adjust(sent)
    assert STRICT in sent.request.body or b"response_format" not in sent.request.body


def test_a_code_that_names_the_schema_is_enough() -> None:
    """OpenAI's message may speak of anything in the schema."""
    reply = REFUSAL._replace(body=b'{"error": {"message": "In context=()", "code": "invalid_json_schema"}}')
    assert is_refused(Strictness(STRICT, LENIENT), work(), reply, [])
