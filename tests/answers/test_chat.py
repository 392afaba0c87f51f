"""Reading the answers of different servers."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import (
    NOTHING,
    Completion,
    broken_choice,
    completion_of,
    is_withheld,
    problem_of,
    text_of,
)
from batchrun.answers.envelope import parse_completion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["content", "reasoning", "reasoning_content", "tool_calls", "function_call", "text", "type", "role"]
MESSAGES = st.dictionaries(st.sampled_from(NAMES), JSON | st.just("<think>a"), max_size=6)
REPLIES = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": MESSAGES, "finish_reason": JSON}), min_size=1, max_size=2)},
    optional={"id": JSON, "usage": JSON},
)


def answer(message: Any, finish_reason: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [{"message": message, "finish_reason": finish_reason}], **more}


def shown(message: Any, finish_reason: Any = "stop") -> Completion:
    return parse_completion(orjson.dumps(answer(message, finish_reason)))


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (answer({"content": "yes"}), None),
        (answer({}), None),
        ({**answer({"content": "yes"}), "error": None}, None),
        ([], "the answer is not a JSON object"),
        ("yes", "the answer is not a JSON object"),
        (None, "the answer is not a JSON object"),
        ({"error": {"message": "overloaded"}}, "the answer is an error: overloaded"),
        ({"error": "overloaded"}, "the answer is an error: overloaded"),
        ({"error": {"code": 500}}, "the answer is an error: it gives no reason"),
        ({**answer({"content": "half"}, None), "error": {"message": "cut"}}, "the answer is an error: cut"),
        ({**answer({"content": "half"}), "error": {"message": "cut", "code": 502}}, "the answer is an error: cut"),
        ({**answer({"content": "half"}, "abort"), "error": "cut"}, "the answer is an error: cut"),
        ({**answer({"content": " "}), "error": "cut"}, "the answer is an error: cut"),
        ({**answer({"content": "whole"}), "error": "ok"}, None),
        ({**answer({"content": "whole"}), "error": {"code": 0, "message": "ok"}}, None),
        ({**answer({"content": "whole"}, "length"), "error": {"code": 200, "message": "ok"}}, None),
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}, "the answer is a piece of a stream"),
        ({"choices": [{"delta": {"content": "a"}}]}, "the answer is a piece of a stream"),
        ({}, "the answer has no choices"),
        ({"choices": []}, "the answer has no choices"),
        ({"choices": {"0": {}}}, "the answer has no choices"),
        ({"choices": ["yes"]}, "the answer has a choice without a message"),
        ({**answer({"content": "yes"}), "error": {"code": 0, "message": ""}}, None),
        ({"choices": [{"message": None}]}, "the answer has a choice without a message"),
        ({"choices": [{"message": {}}, {}]}, "the answer has a choice without a message"),
    ],
)
def test_a_body_that_is_not_a_chat_completion_has_a_problem(reply: Any, problem: str | None) -> None:
    """The status 200 alone does not prove that there is an answer."""
    assert problem_of(reply) == problem


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        ("", ""),
        (None, None),
        (5, "5"),
        ({"label": "yes"}, '{"label":"yes"}'),
        ({"type": "text", "text": "yes"}, "yes"),
        ([], None),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"text": "a"}, "b", None, {"type": "text"}, {"type": "text", "text": 5}], "a"),
        ([{"type": "thinking", "text": "hm"}, {"type": "text", "text": "yes"}], "yes"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], None),
    ],
)
def test_content_is_a_text_or_the_text_parts_of_a_list(content: Any, text: str | None) -> None:
    """Both forms of `content` are read; any other value is not a text."""
    assert text_of(content) == text
    assert shown({"content": content}).response == text


@pytest.mark.parametrize(
    ("message", "finish_reason", "response", "reasoning"),
    [
        ({"content": "yes", "reasoning": "hm"}, "stop", "yes", "hm"),
        ({"content": "yes", "reasoning_content": "hm"}, "stop", "yes", "hm"),
        ({"content": "yes", "reasoning": None, "reasoning_content": "hm"}, "stop", "yes", "hm"),
        ({"content": "yes", "reasoning": "new", "reasoning_content": "old"}, "stop", "yes", "new"),
        ({"content": "yes", "reasoning": ""}, "stop", "yes", None),
        ({"content": "yes", "reasoning": ["hm"]}, "stop", "yes", None),
        ({"content": "<think>hm</think>yes"}, "stop", "yes", "hm"),
        ({"content": "\n<think>\nhm\n</think>\n\nyes\n"}, "stop", "yes\n", "hm"),
        ({"content": "<think>\n\n</think>\n\nyes"}, "stop", "yes", None),
        ({"content": "<think>hm, and then"}, "length", "", "hm, and then"),
        ({"content": "<think> is a tag"}, "stop", "<think> is a tag", None),
        ({"content": "a <think>b</think>"}, "stop", "a <think>b</think>", None),
        ({"content": "<think>b</think>", "reasoning": "hm"}, "stop", "<think>b</think>", "hm"),
        ({"content": "hm\n</think>\n\nyes"}, "stop", "yes", "hm"),
        ({"content": "hm</think>yes"}, "stop", "yes", "hm"),
        ({"content": "\n</think>yes"}, "stop", "yes", None),
        ({"content": "hm</think>", "reasoning_content": None}, "length", "", "hm"),
        ({"content": "it ends with `</think>`"}, "stop", "it ends with `</think>`", None),
        ({"content": '{"tag": "a </think> b"}'}, "stop", '{"tag": "a </think> b"}', None),
        ({"content": "a </think>", "reasoning": "hm"}, "stop", "a </think>", "hm"),
        ({"content": "yes", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, "stop", "yes", "hm"),
        (
            {
                "content": "yes",
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": "h", "index": 0},
                    {"type": "reasoning.summary", "summary": "m", "index": 0},
                    {"type": "reasoning.encrypted", "data": "a2V5", "index": 1},
                    {"type": "reasoning.text", "text": "so", "signature": None, "index": 2},
                ],
            },
            "stop",
            "yes",
            "hm\n\nso",
        ),
        ({"content": "yes", "reasoning_details": [{"type": "reasoning.encrypted", "data": "a"}]}, "stop", "yes", None),
        ({"content": "yes", "reasoning_details": {"text": "hm"}}, "stop", "yes", None),
        ({"content": "yes", "reasoning": "hm", "reasoning_details": [{"text": "other"}]}, "stop", "yes", "hm"),
        ({"content": [{"type": "text", "text": "<think>hm</think>yes"}]}, "stop", "yes", "hm"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
                    {"type": "text", "text": "yes"},
                ]
            },
            "stop",
            "yes",
            "hm",
        ),
        (
            {
                "content": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "text", "text": "yes"},
                ]
            },
            "stop",
            "yes",
            "hm",
        ),
    ],
)
def test_reasoning_is_found_in_every_place_that_servers_use(
    message: dict[str, Any], finish_reason: str, response: str, reasoning: str | None
) -> None:
    """Servers use two field names, or tags in the content. Reasoning is not a part of the response."""
    completion = shown(message, finish_reason)
    assert (completion.response, completion.reasoning) == (response, reasoning)


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": "ü"}'}}


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"content": None, "tool_calls": [CALL, CALL]}, [CALL, CALL]),
        ({"tool_calls": None}, None),
        ({"tool_calls": []}, None),
        ({"tool_calls": "f"}, None),
        ({"tool_calls": CALL}, [CALL]),
        ({"function_call": CALL["function"]}, [{"type": "function", "function": CALL["function"]}]),
        ({"function_call": CALL["function"], "tool_calls": [CALL]}, [CALL]),
        ({"function_call": "f"}, None),
    ],
)
def test_tool_calls_are_kept_as_json(message: dict[str, Any], calls: Any) -> None:
    """The JSON is unchanged; a call in the older form becomes a list of one."""
    text = shown(message).tool_calls
    assert (None if text is None else orjson.loads(text)) == calls


def test_tool_calls_that_are_nested_too_deeply_are_left_out() -> None:
    """The JSON library reads them but cannot write them; the export still succeeds."""
    deep = b"[" * 500 + b"]" * 500
    assert parse_completion(b'{"choices":[{"message":{"content":"a","tool_calls":%s}}]}' % deep) == Completion("a")


def test_the_id_and_the_finish_reason_are_kept() -> None:
    """Values that are not texts become null."""
    assert shown({"content": "a"})[3:5] == ("stop", "chatcmpl-1")
    assert completion_of({"id": 7, "choices": [{"message": {}, "finish_reason": 5}]}) == Completion()


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[]", b"null", b'{"choices":[]}', b'{"error":"no"}'])
def test_nothing_is_read_from_a_body_that_is_not_an_answer(body: bytes) -> None:
    """The export accepts any raw body."""
    assert parse_completion(body) == Completion()


@given(REPLIES | JSON)
def test_no_answer_breaks_the_export(reply: Any) -> None:
    """Every JSON value gives texts or nulls; none raises an error."""
    completion = parse_completion(orjson.dumps(reply))
    assert all(value is None or isinstance(value, str) for value in completion)


@pytest.mark.parametrize(
    "choice", [{"message": "yes"}, {"text": "yes"}, {"delta": {"content": "yes"}, "finish_reason": "stop"}]
)
def test_an_answer_in_an_older_shape_is_an_answer(choice: dict[str, Any]) -> None:
    """The text of a completion, a message that is a text, and the pieces of a stream in one."""
    reply = {"choices": [choice]}
    assert problem_of(reply) is None
    assert completion_of(reply).response == "yes"


@pytest.mark.parametrize(
    ("message", "refusal", "response"),
    [
        ({"content": None, "refusal": "I cannot."}, "I cannot.", None),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", None),
        ({"content": "Yes.", "refusal": None}, None, "Yes."),
        ({"content": "Yes.", "refusal": ""}, None, "Yes."),
        ({"content": "Yes.", "refusal": 5}, None, "Yes."),
    ],
)
def test_a_refusal_is_read_with_its_words(message: dict[str, Any], refusal: str | None, response: str | None) -> None:
    """As a field of the message, or as a part of its content."""
    assert (shown(message).refusal, shown(message).response) == (refusal, response)
    assert not shown(message).is_empty


@pytest.mark.parametrize(
    ("message", "is_empty"),
    [({}, True), ({"content": " \n"}, True), ({"content": "a"}, False), ({"tool_calls": [{"id": "a"}]}, False)],
)
def test_an_answer_without_text_call_or_refusal_is_empty(message: dict[str, Any], is_empty: bool) -> None:
    """White space is not an answer."""
    assert shown(message).is_empty is is_empty


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"finish_reason": "stop"}, None),
        ({"finish_reason": None}, None),
        ({}, None),
        ({"finish_reason": "eos"}, None),
        ({"finish_reason": ["error"]}, None),
        ({"finish_reason": "stop", "error": None}, None),
        ({"finish_reason": "stop", "error": {"code": None, "message": ""}}, None),
        ({"finish_reason": "error", "error": {"code": 502}}, {"code": 502}),
        ({"finish_reason": "stop", "error": "gone"}, {"message": "gone"}),
        ({"finish_reason": "error"}, {"message": "the answer broke off: finish_reason error"}),
        ({"finish_reason": "network_error"}, {"message": "the answer broke off: finish_reason network_error"}),
        ({"finish_reason": "abort"}, {"message": "the answer broke off: finish_reason abort"}),
    ],
)
def test_an_error_inside_the_choice_is_found(choice: dict[str, Any], error: Any) -> None:
    """As an object, as a text, or only as the reason why the answer ended."""
    assert broken_choice({"choices": [{"message": {"content": "Half of"}, **choice}]}) == error


def test_an_answer_that_a_filter_withheld_is_recognized_without_a_message() -> None:
    """Google sends a choice with nothing but the reason."""
    assert is_withheld({"choices": [{"finish_reason": "content_filter"}]})
    assert not is_withheld({"choices": [{"finish_reason": "stop"}]})
    assert not any(map(is_withheld, [None, [], {}, {"choices": []}, {"choices": [7]}]))
    assert shown({"content": ""}, "content_filter").is_withheld
    assert not shown({"content": ""}, None).is_withheld


def test_what_only_a_tolerant_reader_reads_is_shown() -> None:
    """The export reads what the run accepted."""
    assert parse_completion(b'{"choices":[{"message":{"content":"a\\ud83d"}}]} bye').response == "a\ufffd"
    assert parse_completion(b"<html>") is NOTHING


@pytest.mark.parametrize("error", ["gone", {"code": 502, "message": "gone"}])
def test_an_error_inside_an_empty_message_is_found(error: Any) -> None:
    """Next to a text it says nothing about the answer."""
    found = broken_choice(answer({"content": "", "error": error}))
    assert found is not None
    assert found["message"] == "gone"
    assert broken_choice(answer({"content": "yes", "error": error})) is None
    assert broken_choice(answer({"content": "", "error": None})) is None
