"""The schema of a job's answers, and how it reads their texts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.schema import AnswerSchema, Complaint
from batchrun.errors import JobError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"enum": ["positive", "negative", "mixed"]},
        "stars": {"type": "integer", "minimum": 1},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["label"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def answers() -> AnswerSchema:
    return AnswerSchema(SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "mixed", "stars": 3}',
        '```json\n{"label": "mixed", "stars": 3,}\n```',
        'First I thought {"label": "good"}, but {"label": "mixed", "stars": 3} it is.',
        '{"label": "mixed", "stars": 3}\n\nAgain: {"stars": 3, "label": "mixed"}',
    ],
)
def test_the_object_that_fits_is_read(answers: AnswerSchema, text: str) -> None:
    """Anywhere in the text, also if it is repeated."""
    assert answers.read(text) == {"label": "mixed", "stars": 3}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "the answer holds no JSON object"),
        ("", "the answer holds no JSON object"),
        ("I cannot say.", "the answer holds no JSON object"),
        ('"positive"', "the answer holds no JSON object"),
        (
            '{"label": "mixed"} or {"label": "negative"}',
            "the answer holds several different JSON objects that fit; it must hold one",
        ),
        (
            '{"label": "mixed", "note": "too lo',
            "the answer does not fit: its JSON object has no end: "
            "the answer was cut off, or a quote or brace is missing",
        ),
        ('{"label": "good"}', '/label: "good" is not one of '),
        ('{"stars": 1}', '"label" is a required property'),
        ('{"label": "mixed", "stars": 0}', "/stars: 0 is less than the minimum of 1"),
        (
            '{"label": "mixed", "stars": 1e20}',
            "/stars: 1",
        ),
        ('{"label": "mixed", "day": "0000-01-01"}', '/day: "0000-01-01" is not a "date", such as "2024-02-29"'),
        (
            '{"label": "mixed", "at": "2024-02-29 12:00"}',
            '/at: "2024-02-29 12:00" is not a "date-time", such as "2024-02-29T23:59:59Z"',
        ),
        ('{"label": "mixed", "x": 1}', "Additional properties are not allowed ('x' was unexpected)"),
    ],
)
def test_a_complaint_states_the_problem_and_its_place(answers: AnswerSchema, text: str | None, complaint: str) -> None:
    """The model reads it and answers again. Only the start is compared: the rest is the validator's text."""
    found = answers.read(text)
    assert isinstance(found, Complaint)
    assert found.text.startswith(complaint)


def test_a_complaint_lists_the_problem_of_every_branch(answers: AnswerSchema) -> None:
    """The validator only reports that no branch fits."""
    found = answers.read('{"label": "mixed", "note": 3}')
    assert isinstance(found, Complaint)
    assert found.text.startswith("/note: 3 is not ")
    if "anyOf" not in found.text:  # older releases of the validator do not separate the branches
        assert found.text == '/note: 3 is not of type "string", and /note: 3 is not of type "null"'


def test_a_complaint_is_bounded(answers: AnswerSchema) -> None:
    """Both the number of errors and the length of the quoted values are bounded."""
    found = answers.read(json.dumps({"label": "x" * 10**6, "stars": 0, "day": 1, "at": 1, "note": [1], "y": 1}))
    assert isinstance(found, Complaint)
    assert '/label: "xxx' in found.text
    assert "; /stars: " in found.text
    assert '"mixed"' in found.text
    assert found.text.endswith("; and more")
    assert len(found.text) < 2_000


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (True, 'lacks "type": "object" at its root'),
        ({}, 'lacks "type": "object" at its root'),
        ({"type": "array", "items": {"type": "string"}}, 'lacks "type": "object" at its root'),
        ({"$ref": "#"}, 'lacks "type": "object" at its root'),
        ({"type": "object"}, "names no properties"),
        ({"type": "objekt"}, 'is not a JSON Schema: /type: "objekt"'),
        ({"type": "object", "properties": {"a": {"pattern": "(["}}}, "is not a JSON Schema: /properties/a"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}, "Pointer '/$defs/a' does not exist"),
        ({"$schema": "urn:nobody", "type": "object"}, "urn:nobody; $schema must be a published draft"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, message: str) -> None:
    """The message has the problem and the cure."""
    with pytest.raises(JobError) as caught:
        AnswerSchema(schema)
    assert message in str(caught.value)
    assert str(caught.value).startswith("response.schema: ")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/a.json", "file:///etc/hostname", "other.json"])
def test_a_reference_to_another_document_is_refused_and_never_fetched(uri: str) -> None:
    """An existing file is not read either."""
    schema = {"type": "object", "properties": {"a": {"$ref": uri}}}
    with pytest.raises(JobError, match=r"response\.schema: refers to .*; nothing is fetched: copy it .* under \$defs"):
        AnswerSchema(schema)


def test_a_root_may_be_a_reference() -> None:
    """Tools write recursive types this way."""
    node = {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}}}
    answers = AnswerSchema({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert list(answers.properties) == ["name", "next"]
    assert answers.read('{"name": "a", "next": {"name": 1}}') == Complaint('/next/name: 1 is not of type "string"')


@given(st.text() | st.text(st.sampled_from('{}[]",:/\\ label13'), max_size=40))
def test_no_text_raises_an_error(text: str) -> None:
    """Every text gives an object or a complaint."""
    found = ANSWERS.read(text)
    assert isinstance(found, dict) or len(found.text) < 2_000


ANSWERS = AnswerSchema({"type": "object", "properties": {"label": {"type": "string"}}})


def test_many_texts_are_read_as_each_of_them(answers: AnswerSchema) -> None:
    """Only an object with nothing around it: all others need a closer look."""
    fits = '{"label": "mixed", "stars": 3}'
    texts = [fits, None, "", f"Here: {fits}", "[]", "{", '{"label": "good"}', "null", f" {fits}\n"]
    assert answers.objects(texts) == [answers.read(fits) if (text or "").strip() == fits else None for text in texts]
