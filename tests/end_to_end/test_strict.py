"""A schema is sent with `strict` where the endpoint takes it, and in OpenAI's wrapper it is taken too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts
from harness.serving import answering

SCHEMA = {
    "type": "object",
    "properties": {"share": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["share"],
    "additionalProperties": False,
}
OPTIONAL = {**SCHEMA, "required": []}
ANSWER = {
    "id": "x",
    "choices": [{"message": {"role": "assistant", "content": '{"share": 0.5}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@contextmanager
def endpoint(refusal: str = "", *, of_all: bool = False) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve an endpoint that answers with this refusal to strict schemas, or to all; yield URL and `json_schema`s."""
    sent: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        format_ = body.get("response_format", {}).get("json_schema", {})
        sent.append(format_)
        is_refused = refusal and (of_all or format_.get("strict"))
        return (400, {"error": {"message": refusal}}) if is_refused else (200, ANSWER)

    with answering(answer) as url:
        yield url, sent


def run(batchrun: Any, url: str, schema: Any, rows: int = 3, settings: str = "") -> Any:
    Path("schema.json").write_text(json.dumps(schema))
    write_prompts(*map(str, range(rows)))
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "m"\n[response]\nschema = "schema.json"\n{settings}'
        f'[endpoint]\nbase_url = "{url}"\n[output]\ndir = "{Path("out").absolute()}"\n'
    )
    return batchrun("run", "job.toml")


@pytest.mark.parametrize(
    ("schema", "settings", "strict"),
    [
        (SCHEMA, "", True),
        (OPTIONAL, "", None),
        (OPTIONAL, "strict = true\n", True),
        (SCHEMA, "strict = false\n", False),
        ({"name": "share-1", "strict": True, "schema": OPTIONAL}, "", True),
        ({"type": "json_schema", "json_schema": {"name": "share-1", "strict": False, "schema": SCHEMA}}, "", False),
        ({"name": "share-1", "strict": True, "schema": SCHEMA}, "strict = false\n", False),
    ],
)
def test_strict_is_sent_as_stated_or_where_it_fits(
    batchrun: Any, schema: dict[str, Any], settings: str, strict: bool | None
) -> None:
    """The schema itself is never changed, and its properties are columns."""
    with endpoint() as (url, sent):
        assert run(batchrun, url, schema, settings=settings).code == 0
    inner = schema.get("json_schema", schema)
    assert {each.get("strict") for each in sent} == {strict}
    assert {each["name"] for each in sent} == {inner.get("name", "answer")}
    assert all(each["schema"] == inner.get("schema", schema) for each in sent)
    assert [row["share"] for row in results()] == [0.5] * 3


@pytest.mark.parametrize(
    "refusal",
    [
        "Unknown parameter: 'response_format.json_schema.strict'.",
        "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required to be supplied",
        "body.response_format.json_schema.strict: Extra inputs are not permitted",
    ],
)
def test_an_endpoint_that_refuses_strict_gets_the_schema_without_it(batchrun: Any, refusal: str) -> None:
    """No row fails, and it is refused no more often than there were requests in flight."""
    with endpoint(refusal) as (url, sent):
        done = run(batchrun, url, SCHEMA, rows=60)
    assert done.code == 0
    assert [row["share"] for row in results()] == [0.5] * 60
    assert len([each for each in sent if "strict" not in each]) == 60
    assert 1 <= len([each for each in sent if each.get("strict")]) <= 20
    assert sum(row["attempts"] for row in results()) == len(sent)
    assert done.stderr.count(f"strict is refused ({refusal.rstrip('.')}); the schema is sent without it") == 1


def test_an_endpoint_that_refuses_the_schema_itself_stops_the_run_in_its_words(batchrun: Any) -> None:
    """With and without strict."""
    with endpoint("json_schema is not supported by this model", of_all=True) as (url, sent):
        done = run(batchrun, url, SCHEMA)
    assert done.code == 4
    assert "json_schema is not supported by this model" in done.stderr
    assert {each.get("strict") for each in sent} == {True, None}


def test_a_later_strict_or_name_buys_nothing_again(batchrun: Any) -> None:
    """They ask for nothing else. Neither does the wider use of strict in a run that an earlier version began."""
    with endpoint() as (url, sent):
        run(batchrun, url, SCHEMA)
        for schema, settings in ((SCHEMA, "strict = false\n"), ({"name": "other", "schema": SCHEMA}, "")):
            done = run(batchrun, url, schema, settings=settings)
            assert done.code == 0
            assert "nothing to send" in done.stderr
    assert len(sent) == 3


def test_export_takes_a_schema_in_its_wrapper(batchrun: Any) -> None:
    with endpoint() as (url, _):
        run(batchrun, url, SCHEMA)
    Path("new.json").write_text(json.dumps({"name": "n", "schema": {**OPTIONAL, "properties": {"share": {}}}}))
    assert batchrun("export", "out", "--schema", "new.json").code == 0
    assert [row["share"] for row in results()] == ["0.5"] * 3
