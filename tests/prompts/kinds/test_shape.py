"""What rows of other kinds than chat ask, by their columns, a template or a batch line."""

import json
from typing import Any

import pytest

from batchrun.job.sections import Input, Job, Model, PromptTemplates
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.rows import RowForms
from batchrun.prompts.values import RowProblem
from batchrun.records import Row


def asked(kind: Any, columns: dict[str, Any], user: str | None = None) -> dict[str, Any]:
    job = Job(input=Input(path="a"), model=Model(kind=kind, names="m"), prompt=PromptTemplates(user=user))
    [request] = RequestMaker(job).requests(RowForms(job).prompt(Row(0, columns, "a: row 0")))
    body: dict[str, Any] = json.loads(request.body)
    assert body.pop("model") == "m"
    return body


@pytest.mark.parametrize(
    ("kind", "columns", "user", "body"),
    [
        ("embeddings", {"input": "a"}, None, {"input": "a"}),
        ("embeddings", {"prompt": "a"}, None, {"input": "a"}),
        ("embeddings", {"text": "a", "n": 1}, None, {"input": "a"}),
        ("embeddings", {"text": "a", "input": ["b", "c"]}, None, {"input": ["b", "c"]}),
        ("embeddings", {"input": [[1, 2], [3]]}, None, {"input": [[1, 2], [3]]}),
        ("embeddings", {"title": "a"}, "query: {{ title }}", {"input": "query: a"}),
        ("rerank", {"query": "a", "documents": ["b"]}, None, {"query": "a", "documents": ["b"]}),
        ("rerank", {"query": "a", "documents": '["b", "c"]'}, None, {"query": "a", "documents": ["b", "c"]}),
        ("rerank", {"q": "a", "documents": ["b"]}, "{{ q }}?", {"query": "a?", "documents": ["b"]}),
        ("score", {"text_1": "a", "text_2": "b"}, None, {"text_1": "a", "text_2": "b"}),
        ("score", {"text_1": "a", "text_2": '["b", "c"]'}, None, {"text_1": "a", "text_2": ["b", "c"]}),
        ("score", {"text_1": "[a]", "text_2": "b"}, None, {"text_1": "[a]", "text_2": "b"}),
    ],
)
def test_a_row_brings_what_is_asked(kind: Any, columns: Any, user: str | None, body: dict[str, Any]) -> None:
    found = asked(kind, columns, user)
    assert found.pop("encoding_format", "base64") == "base64"
    assert found == body


@pytest.mark.parametrize(
    ("kind", "columns", "problem"),
    [
        ("embeddings", {"input": []}, "input is an empty list; must be a string or a list of strings, not empty"),
        ("embeddings", {"input": 3}, "input is a number"),
        ("embeddings", {"messages": []}, "has no input"),
        ("rerank", {"query": "a", "documents": []}, "documents is an empty list; must be a list of strings, not empty"),
        ("rerank", {"query": "a", "documents": "b"}, "documents is a string"),
        ("rerank", {"query": "a"}, "has no documents"),
        ("score", {"text_1": "a", "text_2": 3}, "text_2 is a number"),
    ],
)
def test_a_row_that_cannot_be_asked_is_broken(kind: Any, columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowProblem, match=problem):
        asked(kind, columns)
