"""Answers as columns: the types that follow from a schema, and values that always fit these types."""

import json
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.columns import AnswerColumns, column_names
from batchrun.answers.schema import AnswerSchema

LABELS = pa.dictionary(pa.int32(), pa.string())
INSTANT = pa.timestamp("us", tz="UTC")
JSON_TEXT = pa.string()


def columns_of(definitions: dict[str, Any] | None = None, **properties: Any) -> AnswerColumns:
    """Return the columns of an object with these properties."""
    return AnswerColumns(AnswerSchema({"type": "object", "properties": properties, "$defs": definitions or {}}))


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, pa.string()),
        ({"type": "integer"}, pa.int64()),
        ({"type": "number"}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": ["integer", "null"]}, pa.int64()),
        ({"type": ["integer", "number"]}, pa.float64()),
        ({"type": "string", "format": "date"}, pa.date32()),
        ({"type": "string", "format": "date-time"}, INSTANT),
        ({"type": "string", "format": "time"}, pa.string()),
        ({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}, pa.date32()),
        ({"anyOf": [{"type": "string", "format": "date"}, {"type": "string"}]}, pa.string()),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, pa.int64()),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, pa.float64()),
        ({"enum": ["b", "a", None]}, LABELS),
        ({"type": "string", "enum": ["b", "a"]}, LABELS),
        ({"const": "a"}, LABELS),
        ({"oneOf": [{"const": "a", "description": "first"}, {"const": "b"}, {"type": "null"}]}, LABELS),
        ({"$ref": "#/$defs/label", "description": "as it was meant"}, LABELS),
        ({"allOf": [{"$ref": "#/$defs/label"}]}, LABELS),
        ({"anyOf": [{"$ref": "#/$defs/label"}, {"type": "null"}]}, LABELS),
        ({"enum": [1, 2, 3]}, pa.int64()),
        ({"enum": [1, 2.5]}, pa.float64()),
        ({"enum": [True, False]}, pa.bool_()),
        ({"type": "array", "items": {"type": "integer"}}, pa.list_(pa.int64())),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, pa.list_(pa.string())),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/label"}, "b": {"type": "number"}}},
            pa.struct([("a", pa.string()), ("b", pa.float64())]),
        ),
        (
            {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}}},
            pa.list_(pa.struct([("d", pa.date32())])),
        ),
    ],
)
def test_a_schema_becomes_a_type(schema: dict[str, Any], kind: pa.DataType) -> None:
    """Every column is nullable, because rows can fail; an `enum` of texts is dictionary-encoded."""
    [field] = columns_of({"label": {"enum": ["a", "b"]}}, x=schema).fields()
    assert field == pa.field("x", kind, nullable=True)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": ["string", "integer"]},
        {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {"type": "string"}}}]},
        {"enum": ["a", 1]},
        {"enum": [2**63]},
        {"const": {"a": 1}},
        {"type": "null"},
        {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"^x": True}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"b": True}}]},
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}},
        {"$ref": "#/$defs/tree"},
        {"$ref": "#/$defs/own"},
    ],
)
def test_a_schema_without_a_single_arrow_type_becomes_json_text(schema: Any) -> None:
    """For example several types, open keys, tuples, any value, recursion, and references with another base."""
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    own = {"type": "array", "items": {"$id": "urn:own", "type": "string"}}
    columns = columns_of({"tree": tree, "own": own}, x=schema)
    assert columns.fields() == [pa.field("x", JSON_TEXT)]
    assert columns.arrays([{"x": {"kids": []}}, {"x": "a"}, {"x": 1}, {"x": None}, {}, None])[0].to_pylist() == [
        '{"kids":[]}',
        '"a"',
        "1",
        None,
        None,
        None,
    ]


def test_a_deeply_nested_schema_becomes_json_text() -> None:
    """Arrow types are nested up to a limit."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(20):
        schema = {"type": "array", "items": schema}
    assert columns_of(x=schema).fields() == [pa.field("x", JSON_TEXT)]


def test_values_become_columns_and_failed_rows_have_nulls() -> None:
    """One column per property, in the schema's order. A missing property is null; an unknown one is left out."""
    columns = columns_of(
        label={"enum": ["b", "a", None]},
        n={"type": "integer"},
        score={"type": "number"},
        day={"type": "string", "format": "date"},
        at={"type": "string", "format": "date-time"},
        tags={"type": "array", "items": {"type": "string"}},
        who={
            "type": "object",
            "properties": {"name": {"type": "string"}, "born": {"type": "string", "format": "date"}},
        },
    )
    first = {
        "label": "a",
        "n": 3.0,
        "score": 2**53 + 1,
        "day": "2024-02-29",
        "at": "2024-02-29t23:59:59.123456789z",
        "tags": ["x", "y"],
        "who": {"name": "Ann", "born": "2000-01-01", "extra": 1},
        "other": 1,
    }
    arrays = columns.arrays([first, None, {"label": None, "who": {}}])
    table = pa.Table.from_arrays(arrays, schema=pa.schema(columns.fields()))
    assert table.to_pylist() == [
        {
            "label": "a",
            "n": 3,
            "score": float(2**53),
            "day": date(2024, 2, 29),
            "at": datetime(2024, 2, 29, 23, 59, 59, 123456, UTC),
            "tags": ["x", "y"],
            "who": {"name": "Ann", "born": date(2000, 1, 1)},
        },
        dict.fromkeys(table.column_names),
        {**dict.fromkeys(table.column_names), "who": {"name": None, "born": None}},
    ]


def test_batches_share_one_dictionary_in_the_schemas_order() -> None:
    """Even if a batch has only some of the labels; otherwise the batches could not be written to one file."""
    columns = columns_of(label={"enum": ["positive", "negative", "mixed"]})
    [array] = columns.arrays([{"label": "mixed"}, None])
    assert array.dictionary.to_pylist() == ["positive", "negative", "mixed"]
    assert array.indices.to_pylist() == [2, None]


def test_values_that_do_not_fit_their_column_are_null() -> None:
    """An answer that was valid under another schema never breaks the export."""
    columns = columns_of(
        label={"enum": ["a"]},
        n={"type": "integer"},
        score={"type": "number"},
        day={"type": "string", "format": "date"},
        tags={"type": "array", "items": {"type": "integer"}},
        who={"type": "object", "properties": {"ok": {"type": "boolean"}}},
    )
    wrong = {"label": [], "n": 2**63, "score": "1", "day": "soon", "tags": ["x", 2], "who": {"ok": 1}}
    worse = {"label": "z", "n": True, "score": True, "day": 3, "tags": 5, "who": "me"}
    arrays = columns.arrays([wrong, worse])
    assert [array.to_pylist() for array in arrays] == [
        [None, None],
        [None, None],
        [None, None],
        [None, None],
        [[None, 2], None],
        [{"ok": None}, None],
    ]


@pytest.mark.parametrize(
    ("names", "taken", "renamed"),
    [
        (["label"], ["row", "model"], ["label"]),
        (["label", "model"], ["row", "model", "label"], ["response_label", "response_model"]),
        (["response"], ["response"], ["response_response"]),
        (["label"], ["label", "response_label"], ["response_response_label"]),
        (["label", "response_label"], ["label"], ["response_response_label", "response_label"]),
    ],
)
def test_a_clashing_name_is_prefixed_until_it_is_unique(names: list[str], taken: list[str], renamed: list[str]) -> None:
    """If the input has a column `label`, the column of the answer is `response_label`."""
    assert column_names(names, taken) == renamed


def test_fields_have_names_that_differ_from_those_of_the_results() -> None:
    """They keep the order of the schema."""
    columns = columns_of(model={"type": "string"}, label={"type": "string"})
    assert [field.name for field in columns.fields(["model", "text"])] == ["response_model", "label"]


SCALARS: list[tuple[dict[str, Any], st.SearchStrategy[Any]]] = [
    ({"type": "string"}, st.text(max_size=5)),
    ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100).map(float)),
    ({"type": "number"}, st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)),
    ({"type": "boolean"}, st.booleans()),
    ({"type": ["boolean", "null"]}, st.none() | st.booleans()),
    ({"enum": ["a", "b", None]}, st.sampled_from(["a", "b", None])),
    ({"type": "string", "format": "date"}, st.dates().map(date.isoformat)),
    ({"type": "string", "format": "date-time"}, st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)),
    ({"type": ["string", "integer"]}, st.text(max_size=5) | st.integers(0, 9)),
    ({}, st.sampled_from([1, "a", None, [], {"b": [True]}])),
]

Pair = tuple[dict[str, Any], st.SearchStrategy[Any]]


def _array(pair: Pair) -> Pair:
    schema, values = pair
    return {"type": "array", "items": schema}, st.lists(values, max_size=3)


def _nullable(pair: Pair) -> Pair:
    schema, values = pair
    return {"anyOf": [schema, {"type": "null"}]}, st.none() | values


def _object(pairs: list[Pair]) -> Pair:
    names = "abcd"
    properties = dict(zip(names, (schema for schema, _ in pairs), strict=False))
    values = dict(zip(names, (values for _, values in pairs), strict=False))
    return {"type": "object", "properties": properties}, st.fixed_dictionaries({}, optional=values)


PAIRS: st.SearchStrategy[Pair] = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: inner.map(_array) | inner.map(_nullable) | st.lists(inner, min_size=1, max_size=4).map(_object),
    max_leaves=6,
)
OBJECTS = st.lists(PAIRS, min_size=1, max_size=4).map(_object)


@given(OBJECTS, st.data())
def test_every_value_that_fits_its_schema_fits_its_columns(pair: Pair, data: st.DataObject) -> None:
    """Parquet returns the same value: JSON text when it is parsed, dates as dates."""
    schema, values = pair
    answers = AnswerSchema(schema)
    given_objects = data.draw(st.lists(values, min_size=1, max_size=4))
    objects = [answers.read(orjson.dumps(value).decode()) for value in given_objects]
    assert all(isinstance(each, dict) for each in objects)
    columns = AnswerColumns(answers)
    table = pa.Table.from_arrays(columns.arrays([*objects, None]), schema=pa.schema(columns.fields()))  # type: ignore[list-item]
    table.validate(full=True)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    stored = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert stored.schema.types == table.schema.types
    for row, value in zip(stored.to_pylist(), [*given_objects, {}], strict=True):
        for name, kind in zip(stored.column_names, stored.schema.types, strict=True):
            assert_same(row[name], value.get(name), kind)


def assert_same(stored: Any, value: Any, kind: pa.DataType) -> None:
    """Check that the value of a column is the value in the JSON."""
    if value is None or stored is None:
        assert stored is None
        assert value is None
    elif pa.types.is_list(kind):
        assert len(stored) == len(value)
        for one, other in zip(stored, value, strict=True):
            assert_same(one, other, kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            assert_same(stored[field.name], value.get(field.name), field.type)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        assert stored.isoformat() == value
    elif pa.types.is_floating(kind):
        assert stored == float(value)
    else:
        assert stored == value or json.loads(stored) == value
