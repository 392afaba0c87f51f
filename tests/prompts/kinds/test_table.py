"""Which kind a batch line names, and which settings a kind takes."""

from typing import Any

import pytest

from batchrun.job.evaluate import Evaluate
from batchrun.job.sections import Input, Job, Model, PromptTemplates, Response
from batchrun.prompts.kinds.table import SHAPES, kind_of_url, unfit
from batchrun.records import PATHS

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("before", ["/v1", "https://host/v1", ""])
def test_every_kind_is_known_by_its_path(kind: Any, before: str) -> None:
    """`/completions` also ends the path of chat completions."""
    assert kind_of_url(f"{before}{PATHS[kind]}/") == kind


def test_other_paths_are_not_kinds() -> None:
    assert kind_of_url("/v1/moderations") is None


@pytest.mark.parametrize(
    ("kind", "sections", "problem"),
    [
        ("chat", {"model": {"stop": "x", "tools": ({"type": "function"},)}}, None),
        ("completions", {"model": {"stop": "x", "logprobs": True}}, None),
        ("completions", {"model": {"tools": ({"type": "function"},)}}, "model.tools is set"),
        ("completions", {"prompt": {"system": "x"}}, "prompt.system is set"),
        ("completions", {"prompt": {"images": "x"}}, "prompt.images is set"),
        ("completions", {"response": {"schema": SCHEMA}}, "response.schema is set"),
        ("embeddings", {"model": {"max_tokens": 3}}, "model.max_tokens is set"),
        ("embeddings", {"model": {"extra_body": {"dimensions": 3}}}, None),
        ("embeddings", {"model": {"stream": True}}, "model.stream is set"),
        ("embeddings", {"model": {"stream": "auto"}}, None),
        ("embeddings", {"model": {"num_samples": 2}}, "model.num_samples = 2"),
        ("rerank", {"evaluate": {"target": "x"}}, "evaluate is set"),
    ],
)
def test_settings_that_a_kind_does_not_take_are_refused(
    kind: Any, sections: dict[str, dict[str, Any]], problem: str | None
) -> None:
    job = Job(
        input=Input(path="a"),
        model=Model(**{"kind": kind} | sections.get("model", {})),
        prompt=PromptTemplates(**sections.get("prompt", {})),
        response=Response(**sections.get("response", {})),
        evaluate=Evaluate(**sections.get("evaluate", {})),
    )
    found = unfit(job, kind)
    assert found is None if problem is None else problem in (found or "")
