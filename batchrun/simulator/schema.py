"""A value that satisfies a JSON Schema; randomness is an argument.

The walk below knows the keywords that structured outputs allow and ignores all others (`not`, `if`): jsonschema-rs
checks every value, and where one fails, the walk makes another, up to `_TRIES` times. Depth is limited, so that a
recursive schema ends: below `_DEEP` only required properties are built.

An object agrees with itself: a text such as `reason` names the labels (values of an `enum`) next to it.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from random import Random
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson

from batchrun.simulator.merge import Schema, UnsatisfiableError, merged
from batchrun.simulator.patterns import match_pattern
from batchrun.simulator.sentences import sentence

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
# Names and descriptions of the properties that get a sentence. Any other text is a word or a few.
_PROSE = re.compile("reason|rationale|explain|explanation|justif|comment|evidence|summary|sentence", re.IGNORECASE)
_FREE = frozenset({"const", "enum", "format", "pattern"})
# The type that is meant where a schema names none: the first of these keywords that it has decides.
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


def satisfy(schema: Schema, random: Random) -> Any:
    """Return a value that satisfies a schema.

    Raises:
        UnsatisfiableError: the schema is invalid, or no value was found.
    """
    validator = _validator(orjson.dumps(schema))
    for _ in range(_TRIES):
        try:
            value = _Walk(schema, random).value(schema, 0)
        except (ValueError, OverflowError):  # unsatisfiable, a pattern of another dialect, an infinite number
            continue
        if validator.is_valid(value):
            return value
    raise UnsatisfiableError("no value was found that satisfies the schema")


# A job sends the same schema with each request, and a server has few jobs at a time.
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
    """One attempt at a value: walks down a schema and chooses at random where there is a choice."""

    def __init__(self, root: Schema, random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Schema, depth: int) -> Any:
        schema = self._plain(schema, depth)
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

    def _plain(self, schema: Schema, depth: int) -> dict[str, Any]:
        if schema is False or depth > _DEEPEST:
            raise UnsatisfiableError("nothing satisfies this")
        return self._flat(schema if isinstance(schema, dict) else {}, depth)

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Resolve references and merge schemas that apply together, until one plain schema is left."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {name: part for name, part in schema.items() if name != "$ref"}
                schema = merged(rest, self._resolve(schema["$ref"]))
            elif "allOf" in schema:
                rest = {name: part for name, part in schema.items() if name != "allOf"}
                for part in schema["allOf"]:
                    rest = merged(rest, part)
                schema = rest
            elif "anyOf" in schema or "oneOf" in schema:
                word = "anyOf" if "anyOf" in schema else "oneOf"
                rest = {name: part for name, part in schema.items() if name != word}
                schema = merged(rest, self._branch(schema[word], depth))
            else:
                return schema
        raise UnsatisfiableError("references form a circle")

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
        # An optional property may have a schema that nothing satisfies: it is left out.
        names = [
            name for name in names if name not in dropped and (name in required or properties.get(name) is not False)
        ]
        return self._members({name: properties.get(name, other) for name in names}, depth + 1)

    def _members(self, members: dict[str, Schema], depth: int) -> dict[str, Any]:
        """Return a value for each property; labels come first, so that sentences can name them."""
        flat = {name: self._plain(member, depth) for name, member in members.items()}
        prose = {name for name, member in flat.items() if self._is_prose(name, member)}
        made = {name: self.value(member, depth) for name, member in flat.items() if name not in prose}
        labels = [value for name, value in made.items() if "enum" in flat[name] and isinstance(value, str) and value]
        return {name: self._prose(flat[name], labels) if name in prose else made[name] for name in members}

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
        return self._fitted(self._random.choice(_WORDS), schema)

    def _prose(self, schema: dict[str, Any], labels: list[str]) -> str:
        return self._fitted(sentence(self._random, *labels), schema)

    def _fitted(self, text: str, schema: dict[str, Any]) -> str:
        """Return a text lengthened or cut to the length that a schema allows."""
        low, high = int(schema.get("minLength", 0)), schema.get("maxLength")
        while len(text) < low:
            text += " " + self._random.choice(_WORDS)
        text = text[: None if high is None else int(high)].rstrip()
        return text.ljust(low, "s")

    def _is_prose(self, name: str, schema: dict[str, Any]) -> bool:
        is_text = schema.get("type") == "string" and not _FREE & schema.keys()
        return is_text and _PROSE.search(f"{name} {schema.get('description', '')}") is not None

    def _number(self, schema: dict[str, Any], *, whole: bool) -> float:
        low, high = _bounds(schema)
        step = schema.get("multipleOf", 1 if whole else 0.25 if high - low > 1 else 0.01)
        # The tolerance is for steps such as 0.1: in binary, 3 * 0.1 is not 0.3.
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
    """Return the lowest and the highest number, exclusive bounds included; a range of 100 where a side is open."""
    lows = [schema[name] for name in ("minimum", "exclusiveMinimum") if name in schema]
    highs = [schema[name] for name in ("maximum", "exclusiveMaximum") if name in schema]
    low = max(lows, default=min(highs, default=100) - 100)
    return low, min(highs, default=low + 100)
