"""The `response_format` that sends a schema to an endpoint. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from batchrun.job.sections import Response

_FIRST_KEYWORDS = frozenset(
    {"$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "definitions", "description", "enum"}
    | {"items", "properties", "required", "title", "type"}
)
"""Keywords that OpenAI's strict mode has accepted from the beginning."""

_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"}
_KEYWORDS = _FIRST_KEYWORDS | _BOUNDS | {"pattern", "format"}
"""Keywords that it accepts now. Source: its guide to structured outputs, "Supported properties", 2026-11."""

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
"""Values of `format` that it accepts; from the same page."""

_LONGEST_NAME = 64
"""Source: OpenAI's reference, response_format.json_schema.name."""


class Formats(NamedTuple):
    """The `response_format` of a job: they differ in `name` and `strict` at most."""

    keyed: dict[str, Any]
    """In the key of a request, as it always was: name and `strict` ask for nothing else, so that setting them buys no
    answer again."""
    sent: dict[str, Any]
    lenient: dict[str, Any]
    """Sent instead where an endpoint refuses `strict`."""


def response_formats(response: Response) -> Formats | None:
    """Return how a job's schema is sent; None when it is left out.

    Unless the job says otherwise, `strict` is set where OpenAI accepts it. Elsewhere OpenAI answers a strict schema
    with 400, and most other servers hold the model to the schema whether it says strict or not.
    """
    schema = response.schema
    if schema is None or response.mode == "none":
        return None
    if response.mode == "json_object":
        return Formats(*[{"type": "json_object"}] * 3)
    title = _name(schema.get("title"))
    name = title if response.name is None else _name(response.name, also="-")
    strict = response.strict
    if strict is None and _is_strict_root(schema, _KEYWORDS):
        strict = True
    keyed = True if _is_strict_root(schema, _FIRST_KEYWORDS) else None
    return Formats(_format(title, schema, keyed), _format(name, schema, strict), _format(name, schema, None))


def _format(name: str, schema: Mapping[str, Any], strict: bool | None) -> dict[str, Any]:
    named = {"name": name, "schema": schema}
    return {"type": "json_schema", "json_schema": named if strict is None else {**named, "strict": strict}}


def _name(stated: Any, also: str = "") -> str:
    letters = stated if isinstance(stated, str) else ""
    name = "".join(each if each.isascii() and (each.isalnum() or each in also) else "_" for each in letters)
    return name.strip("_")[:_LONGEST_NAME] or "answer"


def _is_strict_root(schema: Mapping[str, Any], keywords: frozenset[str]) -> bool:
    return "$ref" not in schema and _is_strict(schema, keywords)


def _is_strict(schema: Any, keywords: frozenset[str]) -> bool:
    """Return whether every object lists and requires all its properties, and only these keywords are used."""
    if not isinstance(schema, Mapping) or not schema.keys() <= keywords:
        return False
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"} or schema.get("format", "date") not in _FORMATS:
        return False
    properties = schema.get("properties", {})
    is_object = properties or "object" in _as_list(schema.get("type"))
    is_closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)
    parts = [*properties.values(), *schema.get("anyOf", ())]
    for definitions in ("$defs", "definitions"):
        parts += schema.get(definitions, {}).values()
    if "array" in _as_list(schema.get("type")):
        parts.append(schema.get("items"))
    return bool(is_closed or not is_object) and all(_is_strict(part, keywords) for part in parts)


def _as_list(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]
