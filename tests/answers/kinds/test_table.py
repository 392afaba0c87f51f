"""Which kind of answer a reply is, by its own fields."""

from typing import Any

import orjson
import pytest

from batchrun.answers.kinds.table import SHAPES, shape_of
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply

REPLIES: dict[str, dict[str, Any]] = {
    "chat": {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
    "completions": {"choices": [{"text": "a", "finish_reason": "stop"}]},
    "responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}],
    },
    "embeddings": {"data": [{"embedding": [1.0, 2.0]}]},
    "rerank": {"results": [{"index": 0, "relevance_score": 0.5}]},
    "score": {"data": [{"index": 0, "score": 0.5}]},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_reply_is_known_by_its_fields(kind: Any) -> None:
    found = shape_of(REPLIES[kind])
    assert found is not None
    assert found.completion_of(REPLIES[kind]) == SHAPES[kind].completion_of(REPLIES[kind])


@pytest.mark.parametrize("reply", [None, [], {}, {"error": {"message": "no"}}, {"object": "list"}, {"data": ["a"]}])
def test_other_replies_are_not_answers(reply: Any) -> None:
    assert shape_of(reply) is None


@pytest.mark.parametrize("asked", SHAPES)
@pytest.mark.parametrize("answered", SHAPES)
def test_an_answer_of_another_kind_is_a_bad_reply(asked: Any, answered: Any) -> None:
    """Chat completions and completions are read for each other: some gateways answer one with the other."""
    is_answer = asked == answered or {asked, answered} == {"chat", "completions"}
    verdict = judge(Reply(200, {}, orjson.dumps(REPLIES[answered]), 0.1), asked)
    assert verdict.kind == (None if is_answer else "bad_reply")
    assert is_answer or f"is not {SHAPES[asked].name}" in verdict.message
