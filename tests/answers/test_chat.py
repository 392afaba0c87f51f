"""Reading the answers of different servers."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import Completion, completion_of, parse_completion, parse_usage, problem_of, text_of
from batchrun.records import Usage

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
        ({**answer({"content": "half"}), "error": {"message": "cut"}}, "the answer is an error: cut"),
        ({}, "the answer has no choices"),
        ({"choices": []}, "the answer has no choices"),
        ({"choices": {"0": {}}}, "the answer has no choices"),
        ({"choices": ["yes"]}, "the answer has a choice without a message"),
        ({"choices": [{"text": "yes"}]}, "the answer has a choice without a message"),
        ({"choices": [{"message": "yes"}]}, "the answer has a choice without a message"),
        ({"choices": [{"message": {}}, {}]}, "the answer has a choice without a message"),
    ],
)
def test_a_body_that_is_not_a_chat_completion_has_a_problem(reply: Any, problem: str | None) -> None:
    """The status 200 alone does not prove that there is an answer."""
    assert problem_of(reply) == problem


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (2**31 - 1, 2**31 - 1),
        *[(value, None) for value in (2**31, -1, True, 1.5, "7", None, [7])],
    ],
)
def test_a_token_count_is_a_whole_number_or_unknown(value: Any, count: int | None) -> None:
    """Any other value becomes null; nothing is guessed."""
    usage = {
        "prompt_tokens": value,
        "completion_tokens": value,
        "total_tokens": value,
        "prompt_tokens_details": {"cached_tokens": value},
        "completion_tokens_details": {"reasoning_tokens": value},
    }
    assert parse_usage({"usage": usage}) == Usage(*[count] * 5)


@pytest.mark.parametrize(
    "reply",
    [{}, {"usage": None}, {"usage": []}, {"usage": "many"}, {"usage": {}}]
    + [{"usage": {"prompt_tokens_details": garbage}} for garbage in (None, 3, "x", [1])],
)
def test_missing_or_malformed_usage_is_unknown(reply: dict[str, Any]) -> None:
    """Every count is null then."""
    assert parse_usage(reply) == Usage()


def test_each_count_is_read_from_its_own_field() -> None:
    """The five counts are not mixed up."""
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert parse_usage({"usage": usage}) == Usage(1, 2, 3, 4, 5)


@given(st.dictionaries(st.sampled_from(["usage", "choices"]), JSON))
def test_a_count_is_never_negative(reply: dict[str, Any]) -> None:
    """No reply of a server makes a total smaller."""
    assert all(count is None or count >= 0 for count in parse_usage(reply))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        ("", ""),
        (None, None),
        (5, None),
        ({"text": "yes"}, None),
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
        ({"content": [{"type": "text", "text": "<think>hm</think>yes"}]}, "stop", "yes", "hm"),
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
        ({"tool_calls": {"f": 1}}, None),
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
    assert shown({"content": "a"})[3:] == ("stop", "chatcmpl-1")
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
