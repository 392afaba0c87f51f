from random import Random

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.simulator.schema import UnsatisfiableError, satisfy

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}

SCHEMAS = [
    True,
    {},
    {"enum": ["positive", "negative"]},
    {"const": {"a": [1]}},
    {"type": ["string", "null"]},
    {"type": "string", "minLength": 40, "maxLength": 41},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
    {"type": "string", "pattern": "(yes|no)+ \\w{3,} [^a-z]?x*"},
    *({"type": "string", "format": name} for name in ("date", "time", "date-time", "email", "uri", "uuid", "ipv4")),
    {"type": "integer", "minimum": 7, "maximum": 7},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "minimum": 1.5, "multipleOf": 5},
    {"type": "number", "minimum": 0.3, "maximum": 0.3, "multipleOf": 0.1},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"minimum": 1000},
    {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": False, "minItems": 2},
    {"type": "array", "contains": {"const": 5}},
    {"type": "object", "required": ["free"], "minProperties": 3},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["b"], "maxProperties": 1},
    {"type": "object", "properties": {"never": False, "some": {"type": "null"}}},
    {"properties": {"x": {"oneOf": [{"type": "boolean"}, {"type": "string", "format": "email"}]}}, "required": ["x"]},
    {"allOf": [{"type": "integer"}, {"type": "number", "minimum": 3}, {"minimum": 1, "maximum": 3}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"a": {"minimum": 200}, "b": {"const": 1}}, "required": ["b"]},
        ]
    },
    {"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]},
    {"type": "integer", "minimum": 0, "maximum": 1, "not": {"const": 0}},
    {"anyOf": [{"type": "string"}, {"type": "integer"}], "enum": ["a", 3]},
    TREE,
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_satisfies_its_schema(schema):
    """Whatever is drawn, the value passes the validator that clients use."""
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for seed in range(30):
        validator.validate(satisfy(schema, Random(seed)))


SMALL = st.integers(0, 4)
LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1, unique=True)),
    st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, SMALL, SMALL),
    st.builds(lambda name: {"type": "string", "format": name}, st.sampled_from(["date", "date-time", "email"])),
    st.builds(
        lambda kind, low, more: {"type": kind, "minimum": low, "maximum": low + more},
        st.sampled_from(["integer", "number"]),
        st.integers(-100, 100),
        SMALL,
    ),
)


def branching(inner):
    """Draw schemas that contain others."""
    arrays = st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )
    objects = st.builds(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[::2],
            "additionalProperties": False,
        },
        st.dictionaries(st.text("abcdef", min_size=1, max_size=4), inner, max_size=4),
    )
    return arrays | objects | st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3))


def schemas():
    """Draw schemas of the kind that structured outputs are asked for with, references among them."""
    reference = st.just({"$ref": "#/$defs/shared~1leaf"})
    outer = st.recursive(LEAVES | reference, branching, max_leaves=6)
    return st.builds(lambda schema, leaf: {**schema, "$defs": {"shared/leaf": leaf}}, outer, LEAVES)


@given(schema=schemas(), seed=st.integers(0, 2**32))
def test_a_value_satisfies_any_such_schema(schema, seed):
    """The property above, for schemas that nobody has thought of."""
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(satisfy(schema, Random(seed)))


def test_the_same_numbers_give_the_same_value():
    """Chance is an argument and nothing else is random."""
    assert satisfy(TREE, Random(3)) == satisfy(TREE, Random(3))
    assert len({str(satisfy(TREE, Random(seed))) for seed in range(20)}) > 5


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (False, "no value was found"),
        ({"not": {}}, "no value was found"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no value was found"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "no value was found"),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "no value was found"),
        ({"$ref": "#"}, "no value was found"),
        ({"required": ["a"], "properties": {"a": {"$ref": "#"}}}, "no value was found"),
        ({"type": "nonsense"}, "the schema is invalid"),
        ({"$ref": "#/$defs/missing"}, "the schema is invalid"),
        ({"$ref": "https://example.org/schema.json"}, "the schema is invalid"),
        ("text", "the schema is invalid"),
    ],
    ids=str,
)
def test_what_cannot_be_satisfied_is_refused(schema, message):
    """No value is better than a wrong one; and no schema is fetched from anywhere."""
    with pytest.raises(UnsatisfiableError, match=message):
        satisfy(schema, Random(0))
