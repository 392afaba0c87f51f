"""Answers of the checkpoint, read by the current schema."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from harness.checkpoints import columns_of

from batchrun.answers.schema import AnswerSchema
from batchrun.records import AnswerSource, Outcome
from batchrun.results.answers import AnswerReader, Answers

Make = Callable[..., Outcome]

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def body(text: str | None) -> bytes:
    return orjson.dumps({"id": "x", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


def read(*outcomes: Outcome, schema: dict[str, Any] | None = SCHEMA) -> tuple[Answers, AnswerReader]:
    reader = AnswerReader(None if schema is None else AnswerSchema(schema))
    return reader.read(columns_of(outcomes)), reader


def shown_of(answers: Answers, *names: str) -> list[tuple[Any, ...]]:
    assert answers.shown is not None
    return list(zip(*(answers.shown[name] for name in names), strict=True))


def test_an_answer_that_fits_is_completed_and_any_other_is_failed(outcome: Make) -> None:
    """The earlier kind does not matter; the number of changed rows is counted by model."""
    answers, reader = read(
        outcome(body=body('{"n": 1}')),
        outcome(body=body("none")),
        outcome(body=body('{"n": 2}'), kind="invalid_response", error="old", model="other"),
        outcome(body=body('{"n": ""}'), kind="invalid_response", error="old"),
    )
    assert answers.outcomes["kind"] == [None, "invalid_response", None, "invalid_response"]
    assert answers.objects == [{"n": 1}, None, {"n": 2}, None]
    assert answers.outcomes["error"][0] is answers.outcomes["error"][2] is None
    assert answers.outcomes["error"][1] == "the answer holds no JSON object; the answer: none"
    assert '{"n": ""}' in answers.outcomes["error"][3]
    assert dict(reader.gained) == {AnswerSource("m"): -1, AnswerSource("other"): 1}
    assert dict(reader.failures) == {"invalid_response": 0}
    assert reader.examples == {"invalid_response": "the answer holds no JSON object"}
    shown = shown_of(answers, "response", "finish_reason", "response_id")
    assert shown == [('{"n": 1}', "stop", "x"), (None, "stop", "x"), ('{"n": 2}', "stop", "x"), (None, "stop", "x")]


def test_the_whole_text_of_an_invalid_answer_is_kept_apart_from_responses(outcome: Make) -> None:
    """`response` has only answers that can be used; without a schema the same texts are answers again."""
    outcomes = [
        outcome(body=body('{"n": 1}')),
        outcome(body=body("x" * 1000)),
        outcome(kind="invalid_response", body=body("<think>hm</think>none")),
        outcome(kind="bad_request", http_status=400, body=body("not an answer")),
    ]
    answers, _ = read(*outcomes)
    shown = shown_of(answers, "response", "invalid_response")
    assert shown == [('{"n": 1}', None), (None, "x" * 1000), (None, "none"), (None, None)]
    answers, _ = read(*outcomes, schema=None)
    shown = shown_of(answers, "response", "invalid_response")
    assert shown == [('{"n": 1}', None), ("x" * 1000, None), ("none", None), (None, None)]


@pytest.mark.parametrize("kind", ["bad_request", "timeout", "bad_row"])
def test_rows_that_failed_for_another_reason_do_not_change(outcome: Make, kind: str) -> None:
    """Even if the body of the reply fits the schema."""
    answers, reader = read(outcome(kind=kind, error="why", http_status=400, body=body('{"n": 1}')))
    assert (answers.outcomes["kind"], answers.outcomes["error"], answers.objects) == ([kind], ["why"], [None])
    assert not reader.gained


def test_without_a_schema_nothing_is_invalid(outcome: Make) -> None:
    """There are no objects either."""
    answers, reader = read(outcome(body=body("a")), outcome(kind="invalid_response", body=body("b")), schema=None)
    assert answers.outcomes["kind"] == [None, None]
    assert shown_of(answers, "response") == [("a",), ("b",)]
    assert (answers.objects, reader.columns) == (None, None)
    assert dict(reader.gained) == {AnswerSource("m"): 1}


def test_an_error_quotes_the_start_of_the_answer_or_states_that_it_has_no_text(outcome: Make) -> None:
    """Errors are short, because people read them; the whole answer is in the checkpoint."""
    answers, _ = read(outcome(body=body("x" * 1000)), outcome(body=body(None)))
    assert answers.outcomes["error"] == [
        f"the answer holds no JSON object; the answer: {'x' * 200}…",
        "the answer holds no JSON object: it has no text",
    ]


def test_the_given_outcomes_do_not_change(outcome: Make) -> None:
    """Another schema may read them later."""
    columns = columns_of([outcome(body=body("none"))])
    AnswerReader(AnswerSchema(SCHEMA)).read(columns)
    assert (columns["kind"], columns["error"]) == ([None], [None])


def refused(text: str, **message: str) -> bytes:
    reply = {"choices": [{"message": {"content": None, "refusal": text, **message}, "finish_reason": "stop"}]}
    return orjson.dumps(reply)


def withheld(message: dict[str, str]) -> bytes:
    return orjson.dumps({"choices": [{"message": message, "finish_reason": "content_filter"}]})


def test_a_refusal_and_a_filters_verdict_fail_under_a_schema_with_their_words(outcome: Make) -> None:
    """An answer that fits is an answer, whatever else the message holds; an HTTP error of that kind stays one."""
    answers, reader = read(
        outcome(body=refused("I cannot.")),
        outcome(body=refused("I should not.", content='{"n": 1}')),
        outcome(body=withheld({"content": "half of"})),
        outcome(body=body("none"), kind="refused", error="old"),
        outcome(body=b'{"error": {"message": "flagged"}}', kind="content_filter", error="flagged", http_status=400),
    )
    assert answers.outcomes["kind"] == ["refused", None, "content_filter", "invalid_response", "content_filter"]
    assert answers.outcomes["error"][0] == "I cannot."
    assert answers.outcomes["error"][2] == "the endpoint's content filter withheld the answer"
    assert answers.outcomes["error"][4] == "flagged"
    assert shown_of(answers, "refusal")[:2] == [("I cannot.",), ("I should not.",)]
    assert dict(reader.failures) == {"refused": 0, "content_filter": 1, "invalid_response": 1}
    assert reader.gained == {AnswerSource("m"): -2}


def test_without_a_schema_a_refusal_is_completed_with_its_words(outcome: Make) -> None:
    """They have their own column."""
    answers, reader = read(
        outcome(kind="refused", error="I cannot.", body=refused("I cannot.")),
        outcome(kind="content_filter", error="flagged", http_status=400, body=b"{}"),
        schema=None,
    )
    assert answers.outcomes["kind"] == [None, "content_filter"]
    assert shown_of(answers, "refusal") == [("I cannot.",), (None,)]
    assert dict(reader.failures) == {"refused": -1}
