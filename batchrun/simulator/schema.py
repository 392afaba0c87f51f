"""A value that satisfies a JSON Schema; pure, chance is an argument.

The walk below knows the keywords that structured outputs allow and guesses at nothing else: every value is checked
by jsonschema-rs, and where a guess fails (`not`, `if`, some of `pattern`) another one is made, a few times. It runs
on a budget of depth, so that a recursive schema ends: below `_DEEP` only what is required is built.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

from batchrun.simulator.patterns import match_pattern

_TRIES = 24
_DEEP = 5
_DEEPEST = 60
_WORDS = ("clear", "useful", "short", "honest", "plain", "minor", "steady", "recent", "common", "careful")
_FORMATS = {
    "date": "2026-{a:02}-{b:02}",
    "time": "{a:02}:{b:02}:00Z",
    "date-time": "2026-{a:02}-{b:02}T08:30:00Z",
    "email": "reader{a}{b}@example.org",
    "uri": "https://example.org/{a}/{b}",
    "uuid": "00000000-0000-4000-8000-0000000{a:02}0{b:02}",
    "ipv4": "192.0.2.{b}",
    "hostname": "host{a}.example.org",
}
# Which type is meant where a schema does not say: the first keyword that is there decides.
_HINTS = {
    "properties": "object",
    "required": "object",
    "minProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
    "multipleOf": "number",
}

Schema = Any


class UnsatisfiableError(ValueError):
    """Raised when a schema is no schema, or when no value for it was found."""


def satisfy(schema: Schema, random: Random) -> Any:
    """Return a value that satisfies a schema.

    Raises:
        UnsatisfiableError: the schema is invalid, or no value was found.
    """
    validator = _validator(orjson.dumps(schema))
    for _ in range(_TRIES):
        try:
            value = _Walk(schema, random).value(schema, 0)
        except (ValueError, OverflowError):  # Unsatisfiable, a pattern of another dialect, an endless number
            continue
        if validator.is_valid(value):
            return value
    raise UnsatisfiableError("no value was found that satisfies the schema")


# A job sends one schema with each of its requests; a server meets few jobs at a time.
@lru_cache(maxsize=64)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(orjson.loads(schema), validate_formats=True, retriever=_refuse_to_fetch)
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).partition("\n")[0]
        raise UnsatisfiableError(f"the schema is invalid: {reason}") from error


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")


class _Walk:
    """One attempt at a value: down a schema, choosing at random where there is a choice."""

    def __init__(self, root: Schema, random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Schema, depth: int) -> Any:
        if schema is False or depth > _DEEPEST:
            raise UnsatisfiableError("nothing satisfies this")
        schema = self._flat(schema if isinstance(schema, dict) else {}, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"] or [None])
        match self._type(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
            case kind:
                return self._number(schema, whole=kind == "integer")

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Follow references and merge what applies together, until one plain schema is left."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {name: part for name, part in schema.items() if name != "$ref"}
                schema = _merged(rest, self._resolve(schema["$ref"]))
            elif "allOf" in schema:
                rest = {name: part for name, part in schema.items() if name != "allOf"}
                for part in schema["allOf"]:
                    rest = _merged(rest, part)
                schema = rest
            elif "anyOf" in schema or "oneOf" in schema:
                word = "anyOf" if "anyOf" in schema else "oneOf"
                rest = {name: part for name, part in schema.items() if name != word}
                schema = _merged(rest, self._branch(schema[word], depth))
            else:
                return schema
        raise UnsatisfiableError("references go in a circle")

    def _branch(self, branches: list[Schema], depth: int) -> Schema:
        if depth < _DEEP:
            return self._random.choice(branches)
        # A branch without a reference ends a recursion.
        return min(branches, key=lambda branch: (b'"$ref"' in orjson.dumps(branch), self._random.random()))

    def _resolve(self, reference: str) -> Schema:
        if not reference.startswith("#"):
            raise UnsatisfiableError(f"{reference} is not part of the schema")
        place = self._root
        try:
            for step in unquote(reference).split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                place = place[int(step)] if isinstance(place, list) else place[step]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UnsatisfiableError(f"{reference} is not part of the schema") from error
        return place

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "null" if depth >= _DEEP and "null" in kind else self._random.choice(kind)
        if kind is None:
            kind = next((hint for word, hint in _HINTS.items() if word in schema), "string")
        return str(kind)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required = schema.get("required", [])
        other = schema.get("additionalProperties", {})
        names = list(properties) if depth < _DEEP else [name for name in properties if name in required]
        names += [name for name in required if name not in properties]
        spare = (f"key_{number}" for number in range(1, 1000))
        while len(names) < schema.get("minProperties", 0):
            names.append(next(spare))
        optional = [name for name in names if name not in required]
        too_many = len(names) - int(schema.get("maxProperties", len(names)))
        dropped = set(optional[: max(0, too_many)])
        made = {}
        for name in names:
            # An optional property may have a schema that nothing satisfies; leaving it out does.
            if name in dropped or (properties.get(name) is False and name not in required):
                continue
            made[name] = self.value(properties.get(name, other), depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        low = int(schema.get("minItems", 0))
        high = int(schema.get("maxItems", low + 3))
        prefix = schema.get("prefixItems", [])
        size = low if depth >= _DEEP else self._random.randint(low, max(low, min(high, low + 3)))
        if "contains" in schema:
            size = max(size, 1)
        made: list[Any] = []
        for place in range(size):
            item = prefix[place] if place < len(prefix) else schema.get("items", schema.get("contains", {}))
            if item is False:
                break
            made.append(self._item(item, made if schema.get("uniqueItems") else [], depth + 1))
        return made

    def _item(self, schema: Schema, taken: list[Any], depth: int) -> Any:
        for _ in range(_TRIES):
            item = self.value(schema, depth)
            if item not in taken:
                return item
        raise UnsatisfiableError("too few different items")

    def _string(self, schema: dict[str, Any]) -> str:
        form = _FORMATS.get(schema.get("format", ""))
        if form:
            return form.format(a=self._random.randint(1, 12), b=self._random.randint(10, 28))
        if "pattern" in schema:
            return match_pattern(schema["pattern"], self._random)
        low = int(schema.get("minLength", 0))
        high = int(schema.get("maxLength", max(low, 24)))
        text = self._random.choice(_WORDS)
        while len(text) < low:
            text += " " + self._random.choice(_WORDS)
        text = text[:high].rstrip()
        return text.ljust(low, "s")

    def _number(self, schema: dict[str, Any], *, whole: bool) -> float:
        step = schema.get("multipleOf", 1 if whole else 0.25)
        low, high = _bounds(schema)
        # The tolerance is for steps such as 0.1, of which 0.3 is not quite the third.
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        first += first * step <= schema.get("exclusiveMinimum", -math.inf)
        last -= last * step >= schema.get("exclusiveMaximum", math.inf)
        if first <= last:
            number = self._random.randint(first, last) * step
            return int(number) if whole else round(number, 9)
        if whole or "multipleOf" in schema:
            raise UnsatisfiableError("no number lies between the bounds")
        return float(low + high) / 2


def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest number, exclusive ones among them; a range of 100 where a side is open."""
    lows = [schema[name] for name in ("minimum", "exclusiveMinimum") if name in schema]
    highs = [schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema]
    low = max(lows, default=min(highs, default=100) - 100)
    return low, min(highs, default=low + 100)


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


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    """Return a schema that asks for what both ask for, as far as their keywords can be put together."""
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
    # Every integer is a number, so the two have integers in common.
    if "integer" in ones | others and "number" in ones | others:
        common.add("integer")
    if not common:
        raise UnsatisfiableError("two types are asked for at once")
    return sorted(common)
