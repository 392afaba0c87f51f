"""What the fast reader reads, it reads as the other does; what it does not, it leaves to it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import completion_of, is_ordinary
from batchrun.answers.plain import plain_completion

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
