from random import Random

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.simulator.merge import UnsatisfiableError
from batchrun.simulator.schema import satisfy

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
    {"properties": {"reason": {"type": "string", "minLength": 90, "maxLength": 91}, "label": {"enum": ["a", "b"]}}},
    {"properties": {"reason": {"type": "string", "maxLength": 5}}, "required": ["reason"]},
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
    """Every value passes the validator that clients use."""
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
    """Draw schemas such as structured outputs use, references included."""
    reference = st.just({"$ref": "#/$defs/shared~1leaf"})
    outer = st.recursive(LEAVES | reference, branching, max_leaves=6)
    return st.builds(lambda schema, leaf: {**schema, "$defs": {"shared/leaf": leaf}}, outer, LEAVES)


@given(schema=schemas(), seed=st.integers(0, 2**32))
def test_a_value_satisfies_any_such_schema(schema, seed):
    """The property above, for generated schemas."""
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(satisfy(schema, Random(seed)))


def test_the_same_numbers_give_the_same_value():
    """Only the argument is random."""
    assert satisfy(TREE, Random(3)) == satisfy(TREE, Random(3))
    assert len({str(satisfy(TREE, Random(seed))) for seed in range(20)}) > 5


SENTIMENT = {"enum": ["positive", "negative"]}
LABELLED = [
    {"properties": {"label": SENTIMENT, "reason": {"type": "string"}}},
    {"properties": {"reason": {"type": "string"}, "label": SENTIMENT}},
    {
        "properties": {"label": {"$ref": "#/$defs/label"}, "Rationale": {"type": "string"}},
        "$defs": {"label": SENTIMENT},
    },
    {"properties": {"verdict": SENTIMENT, "why": {"type": "string", "description": "one short sentence"}}},
    {"properties": {"inner": {"properties": {"label": SENTIMENT, "comment": {"type": "string"}}, "minProperties": 2}}},
]


@pytest.mark.parametrize("schema", LABELLED, ids=str)
def test_a_reason_agrees_with_the_label_next_to_it(schema):
    """It names the label, in whatever order and depth the two properties come."""
    drawn = set()
    for seed in range(30):
        value = satisfy(schema, Random(seed))
        value = value.get("inner", value)
        [label] = [text for text in value.values() if text in SENTIMENT["enum"]]
        [reason] = [text for text in value.values() if text != label]
        assert reason.lower().startswith(f"{label}: ")
        drawn.add(label)
    assert drawn == set(SENTIMENT["enum"])


def test_properties_keep_the_order_of_the_schema():
    """A reason may come before its label."""
    schema = {"properties": {"reason": {"type": "string"}, "label": SENTIMENT, "n": {"type": "integer"}}}
    assert list(satisfy(schema, Random(0))) == ["reason", "label", "n"]


@pytest.mark.parametrize("member", [{"type": "string"}, {"type": "string", "pattern": "^a+$"}, {"enum": ["why not"]}])
def test_only_a_free_text_named_for_it_becomes_a_sentence(member):
    """Names, titles and texts with a pattern stay short."""
    name = "name" if member == {"type": "string"} else "reason"
    value = satisfy({"properties": {"label": SENTIMENT, name: member}}, Random(0))
    assert ":" not in value[name]


def test_a_share_is_drawn_in_hundredths():
    """A confidence of 0 to 1 has more than a handful of values."""
    drawn = {satisfy({"type": "number", "minimum": 0, "maximum": 1}, Random(seed)) for seed in range(200)}
    assert len(drawn) > 50


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
def test_a_schema_without_a_value_is_refused(schema, message):
    """It never gets a wrong value, and references to other places are not fetched."""
    with pytest.raises(UnsatisfiableError, match=message):
        satisfy(schema, Random(0))
