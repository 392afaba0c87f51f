"""Two JSON Schemas that apply together become one, as far as their keywords can be combined; pure."""

from typing import Any

Schema = Any


class UnsatisfiableError(ValueError):
    """Raised when a schema is invalid, or when no value for it was found."""


_TIGHTER = {
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "minProperties": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
    "maxProperties": min,
}


def merged(one: Schema, other: Schema) -> dict[str, Any]:
    """Return a schema that requires what both require, as far as their keywords can be combined.

    Raises:
        UnsatisfiableError: no value satisfies both.
    """
    if one is False or other is False:
        raise UnsatisfiableError("nothing satisfies this")
    result = dict(one) if isinstance(one, dict) else {}
    for name, part in (other if isinstance(other, dict) else {}).items():
        result[name] = _both(name, result[name], part) if name in result else part
    return result


def _both(name: str, one: Any, other: Any) -> Any:
    match name:
        case "properties":
            shared = {key: {"allOf": [one[key], other[key]]} for key in one if key in other}
            return one | other | shared
        case "required":
            return [*one, *(key for key in other if key not in one)]
        case "enum":
            return [value for value in one if value in other]
        case "type":
            return _common_type(one, other)
        case "items":
            return {"allOf": [one, other]}
        case "allOf":
            return [*one, *other]
        case _ if name in _TIGHTER:
            return _TIGHTER[name](one, other)
    return other


def _common_type(one: Any, other: Any) -> list[str]:
    ones = set(one if isinstance(one, list) else [one])
    others = set(other if isinstance(other, list) else [other])
    common = ones & others
    # Every integer is a number.
    if "integer" in ones | others and "number" in ones | others:
        common.add("integer")
    if not common:
        raise UnsatisfiableError("two different types are required")
    return sorted(common)
