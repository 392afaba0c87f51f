"""How a request carries a schema, and how a repair tells the model that its answer does not fit."""

from typing import Any

import pytest

from batchrun.answers.schema import Complaint
from batchrun.endpoint.pool.repair import repair_messages
from batchrun.prompts.response_format import response_format

STRICT: dict[str, Any] = {
    "title": "Review of a kettle!",
    "type": "object",
    "properties": {
        "label": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "if any"},
    },
    "required": ["label", "tags", "note"],
    "additionalProperties": False,
    "$defs": {
        "tag": {
            "type": ["object", "null"],
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
}


def test_the_schema_is_sent_unchanged_under_an_allowed_name() -> None:
    """The letters, digits and underscores of its title, at most 64."""
    sent = response_format(STRICT, "json_schema")
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "Review_of_a_kettle", "schema": STRICT, "strict": True},
    }
    for title, name in ((None, "answer"), ("émoji", "moji"), ("x" * 80, "x" * 64), ("?!", "answer")):
        sent = response_format({**STRICT, "title": title}, "json_schema")
        assert sent is not None
        assert sent["json_schema"]["name"] == name


def test_other_modes_send_less() -> None:
    """Only that the answer must be JSON, or nothing."""
    assert response_format(STRICT, "json_object") == {"type": "json_object"}
    assert response_format(STRICT, "none") is None


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"additionalProperties": None},
        {"required": ["label"]},
        {"properties": {**STRICT["properties"], "label": {"type": "string", "minLength": 1}}},
        {"properties": {**STRICT["properties"], "label": {}}},
        {"properties": {**STRICT["properties"], "label": True}},
        {"properties": {**STRICT["properties"], "tags": {"type": "array"}}},
        {"$defs": {"tag": {"type": "object"}}},
        {"allOf": [{"type": "object"}]},
        {"$ref": "#/$defs/tag"},
    ],
)
def test_strict_is_set_only_for_schemas_that_openai_accepts_as_strict(change: dict[str, Any]) -> None:
    """OpenAI answers any other with 400, and then every row would fail."""
    schema = {key: part for key, part in {**STRICT, **change}.items() if part is not None}
    sent = response_format(schema, "json_schema")
    assert sent is not None
    assert "strict" not in sent["json_schema"]


def test_a_repair_shows_answer_complaint_and_schema() -> None:
    """Assistant and user alternate, as chat templates require."""
    answered, asked = repair_messages(STRICT, '{"label": "c"}', Complaint('/label: "c" is not one of "a" or "b"'))
    assert answered == {"role": "assistant", "content": '{"label": "c"}'}
    assert asked["role"] == "user"
    assert 'cannot be used: /label: "c" is not one of "a" or "b".' in asked["content"]
    assert '{"title":"Review of a kettle!","type":"object"' in asked["content"]
    assert asked["content"].endswith("Answer again with that JSON object and nothing else.")


@pytest.mark.parametrize("answer", [None, ""])
def test_a_repair_states_that_an_answer_had_no_text(answer: str | None) -> None:
    """Servers refuse empty messages."""
    assert repair_messages(STRICT, answer, Complaint("x"))[0]["content"] == "(no text)"


def test_a_repair_is_bounded() -> None:
    """A very long answer and a huge schema would be paid for again."""
    huge = {**STRICT, "description": "x" * 10_000}
    answered, asked = repair_messages(huge, "y" * 10**6, Complaint("x"))
    assert len(answered["content"]) < 21_000
    assert len(asked["content"]) < 200
