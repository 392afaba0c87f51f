"""Which kind of answer a reply is, by its own fields."""

from typing import Any

import pytest

from batchrun.answers.kinds.table import SHAPES, shape_of

REPLIES: dict[str, dict[str, Any]] = {
    "chat": {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
    "completions": {"choices": [{"text": "a", "finish_reason": "stop"}]},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_reply_is_known_by_its_fields(kind: Any) -> None:
    found = shape_of(REPLIES[kind])
    assert found is not None
    assert found.completion_of(REPLIES[kind]) == SHAPES[kind].completion_of(REPLIES[kind])


@pytest.mark.parametrize("reply", [None, [], {}, {"choices": []}, {"error": {"message": "no"}}, {"object": "list"}])
def test_other_replies_are_not_answers(reply: Any) -> None:
    assert shape_of(reply) is None
