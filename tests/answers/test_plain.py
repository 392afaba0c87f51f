"""What the fast reader reads, it reads as the other does; what it does not, it leaves to it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import NOTHING, Completion
from batchrun.answers.envelope import read_reply, shown_of
from batchrun.answers.events import is_stream
from batchrun.answers.kinds.table import CHAT
from batchrun.answers.plain import is_ordinary, ordinary_usage, plain_answers, plain_completion
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply, Usage

VALUES = st.sampled_from(
    [None, "", "text", "<think>a</think>b", [], [{"type": "text", "text": "a"}], {}, {"a": 1}, 0, 7, 1.0, True, 2**70]
)
NAMES = ("content", "role", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "refusal", "audio")
MESSAGES = st.dictionaries(st.sampled_from([*NAMES, "function_call", "error", "annotations"]), VALUES)
TEXTS = st.fixed_dictionaries(
    {"content": st.text()}, optional=dict.fromkeys([*NAMES[1:], "function_call", "error"], st.sampled_from([None, ""]))
)
CHOICES = st.fixed_dictionaries(
    {"message": st.one_of(TEXTS, MESSAGES, VALUES)},
    optional={
        "finish_reason": st.sampled_from(["stop", "length", "error", "abort", "tool_calls", None, [], 3]),
        "error": VALUES,
        "logprobs": VALUES,
        "usage": VALUES,
    },
)
COUNTS = st.one_of(st.integers(-1, 9), st.sampled_from([None, 3.0, 3.5, "3", True, 2**31 - 1, 2**31, 2**70, -(2**70)]))
DETAILS = st.one_of(
    VALUES, st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens"]), COUNTS)
)
USAGES = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"prompt_tokens": st.just(5), "completion_tokens": st.just(3), "total_tokens": st.just(8)},
        optional={"prompt_tokens_details": DETAILS, "completion_tokens_details": DETAILS, "cached_tokens": COUNTS},
    ),
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cost"]), COUNTS
    ),
)
PLAIN = b'{"id": "c-1", "choices": [{"message": {"content": "text"}, "finish_reason": "stop"}]}'
THOUGHT = PLAIN.replace(b"text", b"<think>a</think>text")
REPLIES = st.fixed_dictionaries(
    {"choices": st.one_of(st.lists(CHOICES, min_size=1, max_size=1), st.lists(CHOICES, max_size=2), VALUES)},
    optional={
        "id": st.one_of(st.just("c-1"), VALUES),
        "object": st.sampled_from(["chat.completion", "response", "list", None]),
        "error": VALUES,
        "usage": USAGES,
        "usage_metadata": USAGES,
        "data": VALUES,
        "output": VALUES,
        "results": VALUES,
    },
)

USUAL = b'{"id":"c","choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{%s}}' % (
    b'"prompt_tokens":5,"completion_tokens":3,"total_tokens":8'
)
ODD_VALUES = [
    b'"\xff"',  # not UTF-8
    b'"\xed\xa0\xbd"',
    b'"\\ud83d"',
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b'"\n"',
    b'"\\q"',
    b"NaN",
    b"1e999",
    b"-0",
    b"01",
    b"1" * 400,
    b"0." + b"1" * 400,
    b"[1,]",
    b'{"a":1,"a":2}',
    b"[" * 500 + b"]" * 500,
    b"[" * 1_100 + b"]" * 1_100,
    b"[" * 100_000 + b"]" * 100_000,
    b'"choices"',
    b'"data: {}"',
    b"nul",
]


def as_in_general(body: bytes) -> Completion:
    """Return the shown parts of a body as the reader of every kind finds them."""
    try:
        return shown_of(read_reply(body))
    except ValueError:
        return NOTHING


def assert_same(body: bytes) -> None:
    """Both readers find the same in a body, or the fast one finds nothing."""
    completion, usage = plain_completion(body), ordinary_usage(body)
    if completion is not None:
        assert completion == as_in_general(body)
    if usage is not None:
        answer = read_reply(body)
        assert CHAT.problem_of(answer) is None
        assert CHAT.broken_in(answer) is None
        assert usage == CHAT.usage_of(answer)
        assert not is_stream(body)
        verdict = judge(Reply(200, {}, body, 0.1))
        assert (verdict.kind, verdict.usage, verdict.answer) == (None, usage, answer)
        assert judge(Reply(200, {}, body, 0.1, usage), needs_answer=False) == verdict._replace(answer=None)
        assert judge(Reply(200, {}, body, 0.1, usage)) == verdict


@given(REPLIES)
def test_both_readers_find_the_same(reply: Any) -> None:
    assert_same(orjson.dumps(_written(reply)))


def _written(value: Any) -> Any:
    """Return a value with its huge numbers as orjson writes them."""
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_written(each) for each in value]
    return orjson.Fragment(str(value)) if type(value) is int else value


@given(REPLIES)
def test_what_one_look_finds_ordinary_is_counted(reply: Any) -> None:
    body = orjson.dumps(_written(reply))
    assert (ordinary_usage(body) is not None) >= is_ordinary(orjson.loads(body))


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("old", [b'"yes"', b'"stop"', b'"c"', b"5", b"8", b'"content"', b'"message"', b'"choices"'])
def test_odd_values_are_read_as_by_the_other_reader(value: bytes, old: bytes) -> None:
    """In a known field, and in one that is skipped next to it: before it, and after it."""
    assert_same(USUAL.replace(old, value, 1))
    assert_same(USUAL.replace(old, old + b',"more":' + value, 1))
    assert_same(USUAL.replace(b'"content"', b'"content":%b,"content"' % value))
    assert_same(USUAL.replace(b"}]", b',"extra":%b}]' % value))
    assert_same(b'{"more":%b,%b' % (value, USUAL[1:]))


@given(st.integers(0, len(USUAL)), st.integers(0, 3), st.binary(max_size=3))
def test_damaged_bodies_are_read_as_by_the_other_reader(at: int, cut: int, put: bytes) -> None:
    assert_same(USUAL[:at] + put + USUAL[at + cut :])


@pytest.mark.parametrize(
    "body",
    [
        USUAL.replace(b'"usage"', b'"choices":[],"usage"'),
        USUAL.replace(b'"finish_reason"', b'"message":{"content":"last"},"finish_reason"'),
        USUAL.replace(b'"content"', b'"tool_calls":[{}],"tool_calls":null,"content"'),
        USUAL.replace(b'"choices"', b'"ch\\u006fices"'),
        USUAL.replace(b'"id"', b'"error":{"code":503},"error":null,"id"'),
        USUAL.replace(b'"usage"', b'"usage":{"prompt_tokens":9},"usage"'),
        USUAL + b"\n" + USUAL,
        USUAL + b"\n",
        b"\xef\xbb\xbf" + USUAL,
        b"data: " + USUAL + b"\n\n",
        USUAL.decode().encode("utf-16"),
    ],
)
def test_repeated_and_escaped_names_and_what_is_around_a_body_are_read_as_by_the_other_reader(body: bytes) -> None:
    assert_same(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"data: {}", b'{"choices":[{"delta":{}}]}', b'{"error":{}}', b"\x1f\x8b"])
def test_one_look_finds_nothing_ordinary_in_other_bodies(body: bytes) -> None:
    assert ordinary_usage(body) is None


@pytest.mark.parametrize("more", [{}, {"tool_calls": None}, {"tool_calls": [], "refusal": None, "annotations": []}])
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_usual_answers_are_read(more: dict[str, Any], reason: str) -> None:
    """Otherwise it would save no time."""
    message = {"role": "assistant", "content": "yes", **more}
    body = orjson.dumps({"id": "c-1", "choices": [{"message": message, "finish_reason": reason}], "usage": {}})
    assert plain_completion(body) == as_in_general(body) == Completion("yes", finish_reason=reason, response_id="c-1")


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, Usage(5, 3, 8)),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, Usage(5, 3, 8)),
        ({"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}}, Usage(5, 3, 8, 4)),
        ({"completion_tokens_details": {"reasoning_tokens": 2}}, Usage(5, 3, 8, None, 2)),
        ({"queue_time": 0.2, "prompt_cache_hit_tokens": 4}, Usage(5, 3, 8, 4)),
    ],
)
def test_the_counts_of_an_ordinary_answer_are_found_at_once(more: dict[str, Any], usage: Usage) -> None:
    counts = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, **more}
    choice = {"message": {"content": None, "tool_calls": [{"id": "t"}]}, "finish_reason": "tool_calls"}
    assert ordinary_usage(orjson.dumps({"choices": [choice], "usage": counts})) == usage


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"3", b"{}", b'{"choices":[]}', b'{"choices":[3]}', b'{"choices":{"a":1}}']
)
def test_others_are_left_to_the_other_reader(body: bytes) -> None:
    assert plain_completion(body) is None


@given(
    st.lists(
        st.one_of(
            REPLIES.map(lambda reply: json.dumps(reply).encode()), st.sampled_from([None, b"", b"{", PLAIN, THOUGHT])
        ),
        max_size=5,
    )
)
def test_many_bodies_are_read_as_each_of_them(bodies: list[bytes | None]) -> None:
    """Those that are not plain are left out, whatever stands before and behind them."""
    found = plain_answers(bodies)
    each_one = [None if body is None else plain_completion(body) for body in bodies]
    assert found.others == [place for place, one in enumerate(each_one) if one is None]
    columns = zip(found.responses, found.finish_reasons, found.response_ids, strict=True)
    expected = [(None,) * 3 if one is None else (one.response, one.finish_reason, one.response_id) for one in each_one]
    assert list(columns) == expected
