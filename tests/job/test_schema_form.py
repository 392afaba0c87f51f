"""The forms in which a schema may be stated."""

from typing import Any

import pytest

from batchrun.job.schema_form import StatedSchema, stated_schema
from batchrun.job.sections import Response

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
NAMED = {"name": "label", "strict": True, "schema": SCHEMA}


@pytest.mark.parametrize(
    "value", [NAMED, {"type": "json_schema", "json_schema": NAMED}, {"type": "json_schema", **NAMED}]
)
def test_openais_wrappers_are_taken(value: dict[str, Any]) -> None:
    """Those of chat completions, in part and whole, and that of the responses API. Name and strict are kept."""
    assert stated_schema(value) == StatedSchema(SCHEMA, "label", True)
    response = Response(schema=value)
    assert (response.schema, response.name, response.strict) == (SCHEMA, "label", True)


@pytest.mark.parametrize(
    "value",
    [
        SCHEMA,
        {"type": "object", "properties": {"schema": SCHEMA}},
        {"type": "object", "schema": SCHEMA},
        {"properties": {}, "schema": SCHEMA},
        {"schema": "a file"},
        {"type": "json_schema", "json_schema": 3},
        {},
    ],
)
def test_anything_else_is_the_schema_itself(value: dict[str, Any]) -> None:
    """A property may be called `schema`."""
    assert stated_schema(value) == StatedSchema(value)


def test_the_job_wins_over_the_wrapper() -> None:
    """Odd values in a wrapper say nothing."""
    response = Response(schema=NAMED, name="other", strict=False)
    assert (response.name, response.strict) == ("other", False)
    assert stated_schema({"name": "", "strict": "yes", "schema": SCHEMA}) == StatedSchema(SCHEMA)
