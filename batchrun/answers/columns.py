"""The columns of an answer: JSON Schema to Arrow types, objects that fit the schema to Arrow arrays.

Each top-level property is a column. A column is JSON text if its schema, anywhere inside, allows values that no single
Arrow type holds: several types, objects with open keys, recursion. Properties that the schema does not name get no
column; they stay in the answer's text.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from batchrun.answers.bounds import INT64_MAX, INT64_MIN, date_of, instant_of
from batchrun.answers.references import dereferenced
from batchrun.answers.schema import AnswerSchema

CLASH_PREFIX = "response_"

_DEEPEST = 8
"""Deepest nesting that becomes Arrow types; deeper values become JSON text."""

_INSTANT = pa.timestamp("us", tz="UTC")
_SCALARS = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_FORMATS = {"date": pa.date32(), "date-time": _INSTANT}
_OPEN = ("allOf", "anyOf", "oneOf", "if", "patternProperties", "additionalProperties", "unevaluatedProperties")
"""Keywords by which an object may hold more than its `properties`."""

Object = Mapping[str, Any]


class AnswerColumns:
    """The columns of a job's answers."""

    def __init__(self, answers: AnswerSchema) -> None:
        """Find the type of each property."""
        labels = {name: _labels(each, answers.schema) for name, each in answers.properties.items()}
        self._labels = {name: found for name, found in labels.items() if found}
        self._types = {
            name: None if name in self._labels else _arrow_type(each, answers.schema)
            for name, each in answers.properties.items()
        }

    def fields(self, taken: Iterable[str] = ()) -> list[pa.Field]:
        """Return the columns in the schema's order. All are nullable: a failed row has no values.

        Args:
            taken: names of the other columns of the results.
        """
        names = column_names(list(self._types), taken)
        return [pa.field(name, self._column_type(key)) for name, key in zip(names, self._types, strict=True)]

    def _column_type(self, name: str) -> pa.DataType:
        if name in self._labels:
            return pa.dictionary(pa.int32(), pa.string())
        return self._types[name] or pa.string()

    def arrays(self, objects: Sequence[Object | None]) -> list[pa.Array]:
        """Return the columns' values, in the order of `fields`.

        Args:
            objects: what `AnswerSchema.read` returned for each row; None for a row without a valid answer.

        Returns:
            One array per column, as long as `objects`. Never raises: a value that does not fit its column is null.
        """
        return [
            self._array(name, [None if each is None else each.get(name) for each in objects]) for name in self._types
        ]

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        if labels := self._labels.get(name):
            return _dictionary_array(values, labels)
        kind = self._types[name]
        return pa.array(map(_json_text, values), pa.string()) if kind is None else _typed_array(values, kind)


def column_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Return the names of the columns in the results: a name that is taken gets a prefix."""
    return without_clashes(names, taken, CLASH_PREFIX)


def without_clashes(names: Sequence[str], taken: Iterable[str], prefix: str) -> list[str]:
    """Return the names, each prefixed until it differs from the taken names and from the other names."""
    used = set(taken)
    result = []
    for name in names:
        renamed = name
        while renamed in used or (renamed != name and renamed in names):
            renamed = prefix + renamed
        used.add(renamed)
        result.append(renamed)
    return result


def _labels(schema: Any, root: Any) -> list[str]:
    """Return the texts that a schema allows; empty when it is not a choice of texts."""
    values = _choices(*dereferenced(schema, root), root)
    texts = [value for value in values or () if value is not None]
    return list(dict.fromkeys(texts)) if all(isinstance(text, str) for text in texts) else []


def _choices(schema: Any, seen: frozenset[str], root: Any) -> list[Any] | None:
    """Return the values that a schema lists; None when it does not list them."""
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("type") == "null":
        return [None]
    branches = [_choices(*dereferenced(each, root, seen), root) for each in _branches(schema)]
    if not branches or None in branches:
        return None
    return [value for branch in branches for value in branch or ()]


def _branches(schema: Mapping[str, Any]) -> list[Any]:
    """Return the alternatives of a schema; a single `allOf` counts as one."""
    every = schema.get("allOf", [])
    return schema.get("anyOf") or schema.get("oneOf") or (every if len(every) == 1 else [])


def _arrow_type(schema: Any, root: Any, seen: frozenset[str] = frozenset(), depth: int = 0) -> pa.DataType | None:
    """Return the type that holds every value a schema allows, apart from null; None when there is no such type."""
    schema, seen = dereferenced(schema, root, seen)
    # Inside a nested `$id`, references point into another document.
    if not isinstance(schema, dict) or depth > _DEEPEST or ("$id" in schema and depth):
        return None
    choices = _choices(schema, seen, root)
    if choices is not None:
        return _type_of_choices([each for each in choices if each is not None])
    kinds = _kinds(schema)
    if not kinds:
        parts = [each for each in _branches(schema) if not (isinstance(each, dict) and each.get("type") == "null")]
        return _common_type([_arrow_type(each, root, seen, depth) for each in parts])
    found = [_type_of_kind(kind, schema, root, seen, depth) for kind in kinds]
    return _common_type(found)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [each for each in (kind if isinstance(kind, list) else [kind]) if each != "null"]


def _type_of_choices(values: list[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {str}:
        return pa.string()
    if kinds == {int}:
        return pa.int64() if all(INT64_MIN <= value <= INT64_MAX for value in values) else None
    return pa.float64() if kinds and kinds <= {int, float} else None


def _type_of_kind(
    kind: str, schema: Mapping[str, Any], root: Any, seen: frozenset[str], depth: int
) -> pa.DataType | None:
    if kind == "array":
        items = None if "prefixItems" in schema else _arrow_type(schema.get("items"), root, seen, depth + 1)
        return pa.list_(items) if items else None
    if kind == "object":
        return _struct(schema, root, seen, depth)
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), pa.string())
    return _SCALARS.get(kind)


def _struct(schema: Mapping[str, Any], root: Any, seen: frozenset[str], depth: int) -> pa.DataType | None:
    if any(schema.get(keyword) not in (None, False) for keyword in _OPEN):
        return None
    properties = schema.get("properties", {}).items()
    types = {name: _arrow_type(each, root, seen, depth + 1) for name, each in properties}
    if not types or None in types.values():
        return None
    return pa.struct([pa.field(name, each) for name, each in types.items()])


def _common_type(types: Collection[pa.DataType | None]) -> pa.DataType | None:
    """Return the type that holds the values of all these types; None when there is no such type."""
    kinds = set(types)
    if len(kinds) == 1:
        return kinds.pop()
    if kinds and kinds <= {pa.int64(), pa.float64()}:
        return pa.float64()
    return pa.string() if kinds and kinds <= {pa.string(), *_FORMATS.values()} else None


def _dictionary_array(values: list[Any], labels: list[str]) -> pa.Array:
    """Return texts as indices of labels: all batches share one dictionary, in the schema's order."""
    numbers = {label: number for number, label in enumerate(labels)}
    indices = [numbers.get(value) if isinstance(value, str) else None for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(labels, pa.string()))


def _json_text(value: Any) -> str | None:
    try:
        return None if value is None else orjson.dumps(value).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return None


def _typed_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        raw = pa.array(values, _raw(kind))
        return raw if raw.type == kind else raw.cast(kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # An integer above 2^53 in a column of doubles, a second with nine digits: convert one by one, in Python.
        return pa.array([_fitted(value, kind) for value in values], kind)


def _raw(kind: pa.DataType) -> pa.DataType:
    """Return the type with texts instead of dates: Arrow parses these afterwards."""
    if pa.types.is_list(kind):
        return pa.list_(_raw(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_raw(each.type)) for each in kind])
    return pa.string() if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else kind


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Return the value as Arrow accepts it under this type; None when it does not fit."""
    if pa.types.is_list(kind):
        return [_fitted(each, kind.value_type) for each in value] if isinstance(value, list) else None
    if pa.types.is_struct(kind):
        return (
            {each.name: _fitted(value.get(each.name), each.type) for each in kind} if isinstance(value, dict) else None
        )
    accepted, convert = _CONVERSIONS[kind]
    return convert(value) if isinstance(value, accepted) and isinstance(value, bool) == (accepted is bool) else None


def _whole(value: float) -> int | None:
    return int(value) if value == value // 1 and INT64_MIN <= value <= INT64_MAX else None


_CONVERSIONS: dict[pa.DataType, tuple[Any, Callable[[Any], Any]]] = {
    pa.string(): (str, str),
    pa.bool_(): (bool, bool),
    pa.int64(): (int | float, _whole),
    pa.float64(): (int | float, float),
    pa.date32(): (str, date_of),
    _INSTANT: (str, instant_of),
}
