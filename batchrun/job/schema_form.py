"""The forms in which a job may state the schema of its answers: alone, or in one of OpenAI's wrappers. Pure."""

from typing import Any, NamedTuple


class StatedSchema(NamedTuple):
    """A schema, and what its wrapper says about it."""

    schema: dict[str, Any]
    name: str | None = None
    strict: bool | None = None


def stated_schema(value: dict[str, Any]) -> StatedSchema:
    """Return the schema in a value without its wrapper.

    The wrappers are `{"name", "strict", "schema"}` and the whole `response_format` of OpenAI's two APIs.
    """
    inner = value.get("json_schema") if value.get("type") == "json_schema" else value
    wrapper = inner if isinstance(inner, dict) else value
    schema = wrapper.get("schema")
    if not isinstance(schema, dict) or "properties" in wrapper or wrapper.get("type") not in (None, "json_schema"):
        return StatedSchema(value)
    name, strict = wrapper.get("name"), wrapper.get("strict")
    return StatedSchema(
        schema, name if isinstance(name, str) and name else None, strict if isinstance(strict, bool) else None
    )
