"""How a request carries a schema, and how a repair tells the model that its answer does not fit."""

from typing import Any

import pytest

from batchrun.answers.schema import Complaint
from batchrun.endpoint.pool.repair import repair_messages
from batchrun.job.sections import Response
from batchrun.prompts.response_format import Formats, response_formats

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


def formats(schema: dict[str, Any], **settings: Any) -> Formats:
    found = response_formats(Response(schema=schema, **settings))
    assert found is not None
    return found


def test_the_schema_is_sent_unchanged_under_an_allowed_name() -> None:
    """The letters, digits and underscores of its title, at most 64."""
    assert formats(STRICT).sent == {
        "type": "json_schema",
        "json_schema": {"name": "Review_of_a_kettle", "schema": STRICT, "strict": True},
    }
    for title, name in ((None, "answer"), ("émoji", "moji"), ("x" * 80, "x" * 64), ("?!", "answer")):
        assert formats({**STRICT, "title": title}).sent["json_schema"]["name"] == name


def test_the_stated_name_is_sent_instead_of_the_title() -> None:
    """A hyphen is allowed too. The key of a request keeps the title, so that no answer is bought again for a name."""
    found = formats(STRICT, name="kettle-review 2")
    assert found.sent["json_schema"]["name"] == found.lenient["json_schema"]["name"] == "kettle-review_2"
    assert found.keyed == formats(STRICT).keyed


def test_other_modes_send_less() -> None:
    """Only that the answer must be JSON, or nothing."""
    assert set(map(str, formats(STRICT, mode="json_object"))) == {"{'type': 'json_object'}"}
    assert response_formats(Response(schema=STRICT, mode="none")) is None
    assert response_formats(Response()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"additionalProperties": None},
        {"required": ["label"]},
        {"properties": {**STRICT["properties"], "label": {"type": "string", "minLength": 1}}},
        {"properties": {**STRICT["properties"], "label": {"type": "string", "format": "iban"}}},
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
    found = formats(schema)
    assert "strict" not in found.sent["json_schema"]
    assert found.keyed == found.sent == found.lenient


@pytest.mark.parametrize(
    "label",
    [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "format": "date", "pattern": "^2"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ],
)
def test_strict_is_set_for_bounds_that_openai_accepts_by_now(label: dict[str, Any]) -> None:
    """The key of a request is the one of earlier versions, which left it out: nothing is bought again."""
    found = formats({**STRICT, "properties": {**STRICT["properties"], "label": label}})
    assert found.sent["json_schema"]["strict"] is True
    assert "strict" not in found.keyed["json_schema"]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("schema", [STRICT, {**STRICT, "required": []}])
def test_the_stated_strict_is_sent(schema: dict[str, Any], strict: bool) -> None:
    """Whatever the schema looks like. It is not in the key, and not in what an endpoint gets that refuses it."""
    found = formats(schema, strict=strict)
    assert found.sent["json_schema"]["strict"] is strict
    assert found.keyed == formats(schema).keyed
    assert "strict" not in found.lenient["json_schema"]


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
