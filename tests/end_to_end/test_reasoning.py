"""Reasoning is found wherever an endpoint puts it, whole and in streams."""

from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

from batchrun.simulator.settings import REASONING_FIELDS

MODEL = "openai/gpt-oss-20b"


@pytest.fixture
def expected(run: Any) -> list[tuple[str, str]]:
    """Response and reasoning of each row, as the endpoint gives them in fields of their names."""
    assert run(write_prompts("a", "b", "c"), model=MODEL).code == 0
    return [(row["response"], row["reasoning"]) for row in results()]


@pytest.mark.parametrize("streams", ["false", "true", '"auto"'])
@pytest.mark.parametrize("field", REASONING_FIELDS)
def test_response_and_reasoning_are_apart_whatever_the_endpoint_does(
    batchrun: Any, endpoint: Any, expected: list[tuple[str, str]], field: str, streams: str
) -> None:
    assert all(response and reasoning for response, reasoning in expected)
    endpoint.change(reasoning_field=field)
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nstream = {streams}\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "{Path("again").absolute()}"\n'
    )
    assert batchrun("run", "job.toml").code == 0
    assert [(row["response"], row["reasoning"]) for row in results("again")] == expected
