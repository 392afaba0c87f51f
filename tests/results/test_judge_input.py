"""The answers as their judge sees them."""

from typing import Any

import orjson
import pytest

from batchrun.results.judge_input import question_of


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}], "1 + 1?"),
        (
            [
                {"role": "user", "content": "1 + 1?"},
                {"role": "assistant", "content": "2"},
                {"role": "user", "content": "and 1 more?"},
            ],
            "user: 1 + 1?\n\nassistant: 2\n\nuser: and 1 more?",
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url"}]}],
            "What is it?\n[image_url]",
        ),
        ([], ""),
    ],
)
def test_the_question_is_what_was_asked_without_the_system_message(messages: Any, question: str) -> None:
    """A conversation shows who says what; a part that is not a text is named."""
    assert question_of(orjson.dumps({"messages": messages})) == question
