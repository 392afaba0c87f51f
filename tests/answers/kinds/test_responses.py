"""Responses, read as the chat completions that say the same, whole and as a stream of events."""

from typing import Any

import orjson
import pytest

from batchrun.answers.envelope import parse_completion
from batchrun.answers.kinds.responses import SHAPE
from batchrun.answers.stream import StreamAssembler
from batchrun.records import Usage


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)}


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": []}


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "r1", "object": "response", "status": "completed", "error": None, "output": list(output)} | more


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (response(message(text("a"), text("b"))), {"response": "ab", "finish_reason": "stop", "response_id": "r1"}),
        (response(THOUGHT, message(text("a"))), {"response": "a", "reasoning": "hm"}),
        (
            response({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "long"}]}),
            {"response": None, "reasoning": "long"},
        ),
        (response(message(text("<think>x</think>a"))), {"response": "a", "reasoning": "x"}),
        (response(CALL), {"response": None, "finish_reason": "tool_calls"}),
        (response(message({"type": "refusal", "refusal": "no"})), {"refusal": "no", "response": None}),
        (response(message(text("a")), **CUT), {"response": "a", "finish_reason": "length"}),
        (response(**CUT), {"response": None, "finish_reason": "length"}),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            {"finish_reason": "content_filter"},
        ),
    ],
)
def test_the_items_become_the_parts_of_an_answer(reply: dict[str, Any], parts: dict[str, Any]) -> None:
    assert SHAPE.problem_of(reply) is None
    found = parse_completion(orjson.dumps(reply))
    assert {name: getattr(found, name) for name in parts} == parts


def test_calls_have_the_form_of_chat_completions() -> None:
    found = orjson.loads(SHAPE.completion_of(response(CALL)).tool_calls or "")
    assert found == [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (response(message(text("a")), status="in_progress"), "status in_progress"),
        (response(status="failed", error={"code": "server_error", "message": "oh"}), "is an error: oh"),
        (response(), "empty output"),
        ({"object": "response"}, "no output"),
    ],
)
def test_what_is_not_whole_is_a_problem(reply: Any, problem: str) -> None:
    assert problem in (SHAPE.problem_of(reply) or "")


def test_the_usage_has_other_names() -> None:
    usage = {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 12,
    }
    assert SHAPE.usage_of(response(message(text("a")), usage=usage)) == Usage(5, 7, 12, 2, 3)


def events(*data: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in data)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_last_event_of_a_stream_is_the_answer(size: int) -> None:
    """However its bytes arrive."""
    whole = response(message(text("a")))
    body = events(
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.output_text.delta", "delta": "a"},
        {"type": "response.completed", "response": whole},
    )
    stream = StreamAssembler()
    for start in range(0, len(body), size):
        stream.feed(body[start : start + size])
    assert stream.is_complete
    assert orjson.loads(stream.result()) == whole


def test_a_stream_without_its_last_event_is_not_whole() -> None:
    stream = StreamAssembler()
    stream.feed(events({"type": "response.created", "response": response()}, {"type": "response.in_progress"}))
    stream.close()
    assert not stream.is_complete


def test_an_error_in_a_stream_is_an_error() -> None:
    stream = StreamAssembler()
    stream.feed(events({"type": "response.created"}, {"type": "error", "code": "server_error", "message": "oh"}))
    assert stream.is_complete
    assert orjson.loads(stream.result())["error"]["message"] == "oh"
