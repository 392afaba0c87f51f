"""What the fast reader reads, it reads as the other does; what it does not, it leaves to it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import completion_of, is_ordinary
from batchrun.answers.events import is_stream
from batchrun.answers.plain import ordinary_usage, plain_completion
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply

VALUES = st.sampled_from(
    [None, "", "text", "<think>a</think>b", [], [{"type": "text", "text": "a"}], {}, {"a": 1}, 0, 7]
)
NAMES = ("content", "role", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "refusal", "audio")
MESSAGES = st.dictionaries(st.sampled_from([*NAMES, "function_call", "error", "annotations"]), VALUES)
CHOICES = st.fixed_dictionaries(
    {"message": st.one_of(MESSAGES, VALUES)},
    optional={
        "finish_reason": st.sampled_from(["stop", "length", "error", "tool_calls", None, [], 3]),
        "error": VALUES,
    },
)
REPLIES = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=2)}, optional={"id": VALUES, "error": VALUES, "usage": VALUES}
)


@given(REPLIES)
def test_both_readers_find_the_same(reply: Any) -> None:
    found = plain_completion(reply)
    if found is not None:
        assert is_ordinary(reply)
        assert found == completion_of(reply)


@given(REPLIES)
def test_what_one_look_finds_ordinary_is_judged_a_completion_with_the_same_counts(reply: Any) -> None:
    body = orjson.dumps(reply)
    usage = ordinary_usage(body)
    if usage is not None:
        verdict = judge(Reply(200, {}, body, 0.1))
        assert (verdict.kind, verdict.usage) == (None, usage)
        assert not is_stream(body)
        assert judge(Reply(200, {}, body, 0.1, usage), needs_answer=False) == verdict._replace(answer=None)
        assert judge(Reply(200, {}, body, 0.1, usage)) == verdict


@pytest.mark.parametrize("body", [b"", b"[]", b"data: {}", b'{"choices":[{"delta":{}}]}', b'{"error":{}}', b"\x1f\x8b"])
def test_one_look_finds_nothing_ordinary_in_other_bodies(body: bytes) -> None:
    assert ordinary_usage(body) is None


@pytest.mark.parametrize("more", [{}, {"tool_calls": None}, {"tool_calls": [], "refusal": None, "annotations": []}])
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_usual_answers_are_read(more: dict[str, Any], reason: str) -> None:
    """Otherwise it would save no time."""
    message = {"role": "assistant", "content": "yes", **more}
    reply = {"id": "c-1", "choices": [{"message": message, "finish_reason": reason}], "usage": {}}
    assert plain_completion(reply) == completion_of(reply)


@pytest.mark.parametrize("body", [None, [], 3, {}, {"choices": []}, {"choices": [3]}, {"choices": {"a": 1}}])
def test_others_are_left_to_the_other_reader(body: Any) -> None:
    assert plain_completion(body) is None
