"""Messages as the items of responses, parameters under their names there."""

import json
from typing import Any

import pytest

from batchrun.job.sections import Input, Job, Model, PromptTemplates, Response
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.rows import RowForms
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
FLAT = {"type": "function", "name": "look", "parameters": {}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}}


def body(columns: dict[str, Any], system: str | None = None, schema: Any = None, **model: Any) -> dict[str, Any]:
    job = Job(
        input=Input(path="a"),
        model=Model(kind="responses", names="m", **model),
        prompt=PromptTemplates(system=system),
        response=Response(schema=schema),
    )
    [request] = RequestMaker(job).requests(RowForms(job).prompt(Row(0, columns, "a: row 0")))
    assert request.body.startswith(b'{"model":"m","input":')
    found: dict[str, Any] = json.loads(request.body)
    del found["model"]
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("columns", "settings", "expected"),
    [
        ({"prompt": "a"}, {}, {"input": [user("a")]}),
        ({"prompt": "a"}, {"system": "s"}, {"input": [user("a")], "instructions": "s"}),
        ({"prompt": "a", "system": "s"}, {"max_tokens": 3}, {"instructions": "s", "max_output_tokens": 3}),
        ({"prompt": "a", "params": {"max_tokens": 4}}, {"max_tokens": 3}, {"max_output_tokens": 4}),
        (
            {"prompt": "a", "params": {"max_completion_tokens": 4}},
            {"max_tokens": 3},
            {"input": [user("a")], "max_output_tokens": 4},
        ),
        ({"prompt": "a"}, {"tools": (TOOL,)}, {"tools": [FLAT]}),
        ({"messages": [user("a")], "tools": [FLAT], "tool_choice": "auto"}, {}, {"tools": [FLAT]}),
        ({"prompt": "a"}, {"logprobs": True, "top_logprobs": 2}, {"top_logprobs": 2}),
        ({"prompt": "a", "params": {"reasoning_effort": "low"}}, {}, {"reasoning": {"effort": "low"}}),
        (
            {"messages": [user([{"type": "text", "text": "a"}, IMAGE])]},
            {},
            {
                "input": [
                    user(
                        [
                            {"type": "input_text", "text": "a"},
                            {"type": "input_image", "image_url": "https://x/a.png", "detail": "low"},
                        ]
                    )
                ]
            },
        ),
        (
            {
                "messages": [
                    user("a"),
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "c", "content": "r"},
                ]
            },
            {},
            {
                "input": [
                    user("a"),
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "r"},
                ]
            },
        ),
        ({"custom_id": "x", "body": {"input": "a", "instructions": "i"}}, {"system": "s"}, {"instructions": "i"}),
        ({"custom_id": "x", "body": {"input": "a"}}, {"system": "s"}, {"input": "a", "instructions": "s"}),
    ],
)
def test_a_row_becomes_items(columns: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]) -> None:
    found = body(columns, **settings)
    assert {name: found.get(name) for name in expected} == expected
    assert not found.keys() & {"messages", "max_tokens", "max_completion_tokens", "reasoning_effort", "logprobs"}


def test_log_probabilities_are_included() -> None:
    assert body({"prompt": "a"}, logprobs=True)["include"] == ["message.output_text.logprobs"]


def test_a_schema_is_the_format_of_the_text() -> None:
    """Its name and `strict` are next to it."""
    form = body({"prompt": "a"}, schema=SCHEMA)["text"]["format"]
    assert form == {"type": "json_schema", "name": "answer", "schema": SCHEMA}


def test_a_part_that_responses_do_not_take_breaks_its_row() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}
    with pytest.raises(RowProblem, match="a part of the type input_audio"):
        body({"messages": [user([audio])]})
