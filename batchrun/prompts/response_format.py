"""The `response_format` that sends a schema to an endpoint."""

from collections.abc import Mapping
from typing import Any

_STRICT_KEYWORDS = frozenset(
    {"$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "definitions", "description", "enum"}
    | {"items", "properties", "required", "title", "type"}
)
"""Keywords that OpenAI's strict mode has accepted from the beginning.

Source: its guide to structured outputs. Some of its models, and gateways in its shape, refuse all others.
"""

_LONGEST_NAME = 64
"""Source: OpenAI's reference, response_format.json_schema.name."""


def response_format(schema: Mapping[str, Any], mode: str) -> dict[str, Any] | None:
    """Return the body's `response_format`; None when it is left out.

    `strict` is set where OpenAI accepts it. Elsewhere OpenAI answers a strict schema with 400, and most other servers
    hold the model to the schema whether it says strict or not.

    Args:
        schema: the schema of the answers; sent unchanged.
        mode: json_schema, json_object or none.
    """
    if mode == "none":
        return None
    if mode == "json_object":
        return {"type": "json_object"}
    named: dict[str, Any] = {"name": _name(schema), "schema": schema}
    if "$ref" not in schema and _is_strict(schema):
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def _name(schema: Mapping[str, Any]) -> str:
    title = schema.get("title")
    letters = title if isinstance(title, str) else ""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in letters).strip("_")
    return name[:_LONGEST_NAME] or "answer"


def _is_strict(schema: Any) -> bool:
    """Return whether every object lists and requires all its properties, and only strict keywords are used."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        return False
    properties = schema.get("properties", {})
    is_object = properties or "object" in _as_list(schema.get("type"))
    is_closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)
    parts = [*properties.values(), *schema.get("anyOf", ())]
    for definitions in ("$defs", "definitions"):
        parts += schema.get(definitions, {}).values()
    if "array" in _as_list(schema.get("type")):
        parts.append(schema.get("items"))
    return bool(is_closed or not is_object) and all(map(_is_strict, parts))


def _as_list(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]
