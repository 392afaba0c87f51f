"""Bodies of completions: the text, and the parameters under the names that they have here."""

import json
from typing import Any

import pytest

from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.rows import RowForms
from batchrun.prompts.values import RowProblem
from batchrun.records import Row


def body(columns: dict[str, Any], **model: Any) -> dict[str, Any]:
    job = Job(input=Input(path="a"), model=Model(kind="completions", names="m", **model))
    prompt = RowForms(job).prompt(Row(0, columns, "a: row 0"))
    [request] = RequestMaker(job).requests(prompt)
    assert request.kind == "completions"
    assert request.body.startswith(b'{"model":"m","prompt":')
    found: dict[str, Any] = json.loads(request.body)
    return found


@pytest.mark.parametrize(
    ("columns", "model", "expected"),
    [
        ({"prompt": "a"}, {"max_tokens": 3}, {"prompt": "a", "max_tokens": 3}),
        ({"prompt": [1, 2]}, {}, {"prompt": [1, 2]}),
        ({"prompt": "[1]"}, {}, {"prompt": "[1]"}),
        ({"prompt": "a", "params": {"echo": True}}, {}, {"prompt": "a", "echo": True}),
        ({"prompt": "a"}, {"logprobs": True, "top_logprobs": 2}, {"prompt": "a", "logprobs": 2}),
        ({"prompt": "a"}, {"logprobs": True}, {"prompt": "a", "logprobs": 0}),
        ({"prompt": "a"}, {"logprobs": False}, {"prompt": "a"}),
        ({"prompt": "a", "params": {"logprobs": 4}}, {"logprobs": True}, {"prompt": "a", "logprobs": 4}),
        (
            {"custom_id": "x", "url": "/v1/completions", "body": {"prompt": "b", "suffix": "c"}},
            {"max_tokens": 3},
            {"prompt": "b", "max_tokens": 3, "suffix": "c"},
        ),
    ],
)
def test_a_row_becomes_a_text_and_parameters(
    columns: dict[str, Any], model: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert body(columns, **model) == {"model": "m"} | expected


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"prompt": ["a", "b"]}, "prompt is a list of 2 texts; must be a string"),
        ({"prompt": 3}, "prompt is a number; must be a string"),
        ({"text": "a"}, "has no prompt"),
        ({"prompt": "a", "params": {"prompt": "b"}}, "params has prompt, which params cannot set"),
        ({"custom_id": "x", "url": "/v1/completions", "body": {"messages": []}}, "has no prompt"),
    ],
)
def test_a_row_that_is_not_a_text_is_broken(columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowProblem, match=problem):
        body(columns)


def test_the_same_body_of_another_kind_is_another_request() -> None:
    """Otherwise the answer to one could be taken for the answer to the other."""
    job = Job(input=Input(path="a"), model=Model(names="m"))
    line = {"custom_id": "x", "body": {"messages": [{"role": "user", "content": "a"}], "prompt": "a"}}
    keys = {
        RequestMaker(job, kind).requests(RowForms(job).prompt(Row(0, line | {"url": url}, "")))[0].key
        for kind, url in (("chat", "/chat/completions"), ("completions", "/completions"))
    }
    assert len(keys) == 2
